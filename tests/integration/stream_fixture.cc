// SPDX-License-Identifier: Apache-2.0
#include "stream_fixture.h"

#include <algorithm>

namespace nearcall::integration {

namespace {

char ByteAt(size_t number, size_t place) {
  return static_cast<char>(number * 131 + place * 7 + place / 251);
}

}  // namespace

Blob Element(size_t number, size_t size) {
  std::string data(size, '\0');
  for (size_t place = 0; place < size; ++place) data[place] = ByteAt(number, place);
  return MakeBlob(std::move(data));
}

bool IsElement(const Blob& blob, size_t number, size_t size) {
  const std::string& data = blob.data();
  if (data.size() != size) return false;
  for (size_t place = 0; place < size; ++place) {
    if (data[place] != ByteAt(number, place)) return false;
  }
  return true;
}

Bounds ElementsIn(size_t window, size_t size) {
  constexpr size_t kElementCost = 32;
  const size_t cost = Element(0, size).ByteSizeLong() + kElementCost;
  const size_t most = (window + cost - 1) / cost;
  return {.at_least = std::max<size_t>(1, window / cost), .at_most = most};
}

std::unique_ptr<Server> StreamTest::StartServer(ServerOptions options) {
  if (!options.log_sink) options.log_sink = log.sink();
  options.expected_clients = std::max<size_t>(options.expected_clients, 48);
  return Must(ServerBuilder(std::move(options)).Listen(Address()).Register(&echo).Register(&streams).Start());
}

void StreamTest::ReadOnlyWhenTold() {
  streams.chat = [this](ServerContext& context, ChatStream& stream) {
    began.Set();
    may_read.Wait();
    absl::Status status = ChatBack(context, stream);
    if (context.IsCancelled()) saw_cancel.Set();
    return status;
  };
  streams.up = [this](ServerContext& context, ServerReader<Blob>& reader, Blob& reply) {
    began.Set();
    may_read.Wait();
    absl::Status status = CountUp(context, reader, reply);
    if (context.IsCancelled()) saw_cancel.Set();
    return status;
  };
}

}  // namespace nearcall::integration
