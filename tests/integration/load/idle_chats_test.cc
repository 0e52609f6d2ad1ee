// SPDX-License-Identifier: Apache-2.0

// What an open stream costs whose handler is a coroutine, and which nobody writes to.
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "child.h"
#include "measured.h"
#include "suspending_fixture.h"

namespace nearcall::integration {
namespace {

class IdleChatsTest : public SuspendingTest {
 protected:
  static int64_t Ask(Child& server, const char* question) {
    server.link().Tell(question);
    return std::atoll(server.link().Await().c_str());
  }
};

// The server is a process of its own: what is measured is the server's alone. NEARCALL_TORTURE_CHATS: of each channel.
TEST_F(IdleChatsTest, ThousandsOfIdleChatsCostLittleMemoryAndNoThread) {
  constexpr size_t kChannels = 10;
  const size_t of_each = TortureCount("NEARCALL_TORTURE_CHATS", 300);
  Child server([this](Link& parent) {
    const auto running = StartServer({.max_handler_threads = 64, .max_waiting_handlers = 1});
    parent.Tell("ready");
    for (std::string question; !(question = parent.Await()).empty();) {
      const std::string text = running->DebugString();
      parent.Tell(absl::StrCat(question == "bytes"     ? static_cast<size_t>(ResidentBytes())
                               : question == "threads" ? NumberIn(text, ", threads: ")
                                                       : NumberIn(text, "calls active: ")));
    }
  });
  ASSERT_EQ(server.link().Await(), "ready");
  std::vector<Streams::Stub> stubs;
  for (size_t i = 0; i < kChannels; ++i) stubs.push_back(ConnectStreams());
  // What is needed once.
  for (const Streams::Stub& stub : stubs) ASSERT_TRUE(PingPong(*stub.Chat(InTime())));
  ASSERT_TRUE(Eventually([&] { return Ask(server, "calls") == 0; }));
  const int64_t before = Ask(server, "bytes");
  std::vector<std::unique_ptr<Chat>> chats;
  for (const Streams::Stub& stub : stubs) {
    for (size_t i = 0; i < of_each; ++i) chats.push_back(OpenChat(stub));
  }
  const auto count = static_cast<int64_t>(chats.size());
  EXPECT_EQ(Ask(server, "calls"), count);
  const int64_t each = (Ask(server, "bytes") - before) / count;
  std::cout << "[ measured ] " << count << " idle chats: " << each << " B each, " << Ask(server, "threads")
            << " threads\n";
  EXPECT_LE(each, Strict() ? 4 << 10 : 64 << 10);
  EXPECT_LE(Ask(server, "threads"), 8);
  for (const auto& chat : chats) EXPECT_TRUE(PingPong(*chat, 2));
}

}  // namespace
}  // namespace nearcall::integration
