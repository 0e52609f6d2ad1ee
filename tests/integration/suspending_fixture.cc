// SPDX-License-Identifier: Apache-2.0
#include "suspending_fixture.h"

#include "driven_server.h"

namespace nearcall::integration {

std::unique_ptr<Server> SuspendingTest::StartServer(ServerOptions options) {
  if (!options.log_sink) options.log_sink = log.sink();
  options.expected_clients = 48;
  return StartInStyle(std::move(options), [this](ServerOptions styled) {
    return Must(ServerBuilder(std::move(styled)).Listen(Address()).Register(&echo).Register(&suspending).Start());
  });
}

bool SuspendingTest::PingPong(Chat& chat, size_t number, size_t size) {
  Blob reply;
  return chat.Write(Element(number, size)) && chat.Read(&reply) && IsElement(reply, number, size);
}

std::unique_ptr<SuspendingTest::Chat> SuspendingTest::OpenChat(const Streams::Stub& stub, CallOptions options) {
  auto chat = stub.Chat(options);
  EXPECT_TRUE(PingPong(*chat)) << chat->Finish();
  return chat;
}

void SuspendingTest::WatchTheEnd() {
  suspending.chat = [this](SuspendedCall call) -> Detached {
    Blob element;
    while (co_await call.Read(element)) co_await call.Write(element);
    if (call.context.IsCancelled()) cancelled.Add();
    const bool written = co_await call.Write(element);
    if (!written) unwritten.Add();
    call.answer->FinishStream(absl::OkStatus());
    ended.Add();
  };
}

}  // namespace nearcall::integration
