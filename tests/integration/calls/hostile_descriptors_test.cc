// SPDX-License-Identifier: Apache-2.0

// Peers that break the rules of descriptors in messages: clients and servers that shake hands and then send letters
// without frames, frames without letters, or others than they say.
#include <array>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "file_service.h"
#include "raw_peer.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

// --- clients ---

class HostileDescriptorsTest : public DescriptorsTest {
 protected:
  // A client that wants a side socket and does as it likes.
  static RawClient Hostile() {
    return RawClient(Address(), {.max_message_size = 1 << 20, .max_calls_in_flight = 16, .max_descriptors = 16},
                     transport::Transports(), transport::kDescriptors);
  }

  static wire::FrameHeader Request(const RawClient& client, uint8_t count) {
    wire::FrameHeader header = client.Header(wire::FrameKind::kRequest, 0);
    header.method_id = internal::MethodId("nearcall.integration.Files/Swap");
    header.fd_count = count;
    return header;
  }

  void ExpectThrownOut(RawClient& hostile, const std::string& part) {
    EXPECT_TRUE(HangsUp(hostile.control()));
    EXPECT_TRUE(Eventually([&] { return log.Has(part); })) << part << "; " << absl::StrJoin(log.lines(), "\n");
    EXPECT_EQ(Must(Swap(ConnectFiles(), {"still"})).data(), "still");
  }
};

TEST_F(HostileDescriptorsTest, ALetterAndItsFrameAreServed) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  RawClient client = Hostile();
  const UniqueFd file = FileOf("raw");
  const int fd = file.get();
  EXPECT_TRUE(client.connection().side_socket->Send({.lane = 1, .count = 1, .sequence = 1, .call_id = 1}, {&fd, 1}));
  client.Send(Request(client, 1));
  const wire::FrameHeader reply = client.Receive();
  EXPECT_EQ(reply.status, 0);
  EXPECT_EQ(reply.fd_count, 1);
  transport::Letter letter;
  base::Descriptors came;
  Must(client.connection().side_socket->Receive(std::make_shared<base::DescriptorBudget>(nullptr), letter, came));
  EXPECT_EQ(letter.sequence, reply.sequence);
  EXPECT_EQ(TextsOf(came.Release()), "re:raw");
}

TEST_F(HostileDescriptorsTest, AFrameWithoutItsLetter) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  RawClient hostile = Hostile();
  hostile.Send(Request(hostile, 1));
  ExpectThrownOut(hostile, "they were not sent before it");
}

TEST_F(HostileDescriptorsTest, ALetterOfAnotherCount) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  RawClient hostile = Hostile();
  const UniqueFd file = FileOf("x");
  const int fd = file.get();
  hostile.connection().side_socket->Send({.lane = 1, .count = 1, .sequence = 1, .call_id = 1}, {&fd, 1});
  hostile.Send(Request(hostile, 2));
  ExpectThrownOut(hostile, "it announces 2, its letter 1 of call 1");
}

TEST_F(HostileDescriptorsTest, WhereNoneWereGranted) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer(Granting(0));
  RawClient hostile = Hostile();
  hostile.Send(Request(hostile, 1));
  EXPECT_TRUE(HangsUp(hostile.control()));
  EXPECT_TRUE(Eventually([&] { return log.Has("it announces 1, granted were 0"); }));
}

// What it sends beyond what its user may have is refused call by call, and then the connection is.
TEST_F(HostileDescriptorsTest, OneThatSendsOnBeyondItsPart) {
  NEEDS_DESCRIPTORS();
  Event began;
  Event may_end;
  files.swap = [&](ServerContext& context, const Blob& request, Blob& reply) {
    if (request.data() == "first") {
      began.Set();
      may_end.Wait();
    }
    return FileService::Return(context, request, reply);
  };
  ServerOptions options = Granting();
  options.max_total_descriptors = 16;
  options.max_handler_threads = 1;
  const auto server = StartServer(options);
  const Files::Stub honest = ConnectFiles();
  std::thread first([honest] { honest.Swap(MakeBlob("first"), {.timeout = kLong}).IgnoreError(); });
  began.Wait();
  RawClient hostile = Hostile();
  const UniqueFd file = FileOf("x");
  const std::vector<int> five(5, file.get());
  for (uint64_t i = 1; i <= 8; ++i) {
    if (!hostile.connection().side_socket->Send({.lane = 1, .count = 5, .sequence = i, .call_id = i << 16 | i}, five)) {
      break;
    }
    wire::FrameHeader header = Request(hostile, 5);
    header.sequence = i;
    header.call_id = i << 16 | i;
    hostile.SendInSilence(header);
  }
  hostile.connection().transport->Ring();
  may_end.Set();
  first.join();
  // The server lives, and so do its other clients.
  EXPECT_TRUE(Eventually([&] { return Swap(honest, {"x"}).ok(); }));
}

TEST_F(HostileDescriptorsTest, ALetterThatItsFrameDoesNotAnnounce) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  RawClient hostile = Hostile();
  const UniqueFd file = FileOf("x");
  const int fd = file.get();
  for (uint64_t i = 1; i <= 2; ++i) {
    hostile.connection().side_socket->Send({.lane = 1, .count = 1, .sequence = i, .call_id = i << 16 | i}, {&fd, 1});
  }
  for (uint64_t i = 1; i <= 2; ++i) {
    wire::FrameHeader header = Request(hostile, i == 1 ? 0 : 1);
    header.sequence = i;
    header.call_id = i << 16 | i;
    hostile.Send(header);
  }
  ExpectThrownOut(hostile, "a letter of the earlier frame 1 was not announced by it");
}

TEST_F(HostileDescriptorsTest, LettersThatNoFrameFollows) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  Must(Swap(ConnectFiles(), {"x"}));
  EXPECT_TRUE(Eventually([&] { return ConnectionCount(*server) == 0; }));
  EXPECT_TRUE(Eventually([before = OpenDescriptors()] { return OpenDescriptors() <= before; }));
  const size_t before = OpenDescriptors();
  for (int round = 0; round < 20; ++round) {
    RawClient hostile = Hostile();
    const UniqueFd file = FileOf("x");
    const std::vector<int> sixteen(16, file.get());
    uint64_t sequence = 0;
    while (hostile.connection().side_socket->Send({.lane = 1, .count = 16, .sequence = ++sequence}, sixteen)) continue;
    EXPECT_LE(sequence, 32u);
  }
  EXPECT_TRUE(Eventually([&] { return OpenDescriptors() <= before; })) << OpenDescriptors() << " of " << before;
}

// Half of the connection goes on without it.
TEST_F(HostileDescriptorsTest, ASideSocketThatIsClosedInTheMiddle) {
  NEEDS_DESCRIPTORS();
  files.swap = [](ServerContext& context, const Blob&, Blob&) {
    context.reply_descriptors().push_back(FileOf("for nobody"));
    return absl::OkStatus();
  };
  const auto server = StartServer();
  RawClient hostile = Hostile();
  hostile.connection().side_socket = nullptr;
  hostile.Send(Request(hostile, 0));
  EXPECT_EQ(hostile.Receive().status, 0);
  wire::FrameHeader second = Request(hostile, 1);
  second.sequence = 2;
  second.call_id = 2 << 16 | 2;
  hostile.Send(second);
  EXPECT_TRUE(HangsUp(hostile.control()));
  EXPECT_TRUE(Eventually([&] { return log.Has("they were not sent before it"); }));
}

// --- servers ---

class HostileServerDescriptorsTest : public DescriptorsTest {
 protected:
  void SetUp() override {
    NEEDS_DESCRIPTORS();
    auto connected = std::async(std::launch::async, [this] { return Connect(); });
    server_ = std::make_unique<RawServer>(door_, TransportUnderTest(), uint8_t{16});
    channel_ = connected.get();
  }

  // The reply to the call that comes next, which says that it brings so many.
  wire::FrameHeader ReplyWith(uint8_t count) {
    const wire::FrameHeader request = server_->Receive();
    wire::FrameHeader reply = server_->Header(wire::FrameKind::kReply, 0);
    reply.sequence = ++replies_;
    reply.call_id = request.call_id;
    reply.method_id = request.method_id;
    reply.fd_count = count;
    return reply;
  }

  void SendLetter(const wire::FrameHeader& reply, uint8_t count) {
    const UniqueFd file = FileOf("letter");
    const std::vector<int> fds(count, file.get());
    EXPECT_TRUE(server_->connection().side_socket->Send(
        {.lane = reply.priority, .count = count, .sequence = reply.sequence, .call_id = reply.call_id}, fds));
  }

  // A call that is answered by `answer`. What it brings is in `returned_`.
  absl::Status Call(const std::function<void()>& answer, const std::vector<std::string>& texts = {}) {
    auto call = std::async(std::launch::async, [&] { return Swap(Files::Stub(channel_), texts, &returned_).status(); });
    answer();
    return call.get();
  }

  void ExpectViolation(const std::function<void()>& answer, const std::string& part) {
    EXPECT_THAT(Call(answer), FailsWith(StatusCode::kInternal, part));
    EXPECT_TRUE(HangsUp(server_->control()));
    EXPECT_THAT(returned_, ::testing::SizeIs(0));
  }

  RawDoor door_{Address()};
  std::unique_ptr<RawServer> server_;
  std::shared_ptr<Channel> channel_;
  uint64_t replies_ = 0;
  std::vector<UniqueFd> returned_;
};

TEST_F(HostileServerDescriptorsTest, ACorrectReplyIsTaken) {
  const auto answer = [&] {
    const wire::FrameHeader reply = ReplyWith(2);
    SendLetter(reply, 2);
    server_->Send(reply);
  };
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(Call(answer).ok());
    EXPECT_EQ(TextsOf(returned_), "letter|letter");
  }
}

TEST_F(HostileServerDescriptorsTest, AReplyWithoutItsLetter) {
  ExpectViolation([&] { server_->Send(ReplyWith(1)); }, "they were not sent before it");
}

TEST_F(HostileServerDescriptorsTest, ALetterOfAnotherCount) {
  ExpectViolation(
      [&] {
        const wire::FrameHeader reply = ReplyWith(1);
        SendLetter(reply, 2);
        server_->Send(reply);
      },
      "it announces 1, its letter 2 of call");
}

TEST_F(HostileServerDescriptorsTest, ALetterOfAnotherCall) {
  ExpectViolation(
      [&] {
        const wire::FrameHeader reply = ReplyWith(1);
        wire::FrameHeader other = reply;
        ++other.call_id;
        SendLetter(other, 1);
        server_->Send(reply);
      },
      "its letter 1 of call");
}

TEST_F(HostileServerDescriptorsTest, ALetterThatItsReplyDoesNotAnnounce) {
  EXPECT_TRUE(Call([&] {
                const wire::FrameHeader reply = ReplyWith(0);
                SendLetter(reply, 1);
                server_->Send(reply);
              }).ok())
      << "nobody has looked for it";
  ExpectViolation(
      [&] {
        const wire::FrameHeader reply = ReplyWith(1);
        SendLetter(reply, 1);
        server_->Send(reply);
      },
      "a letter of the earlier frame 1 was not announced by it");
}

TEST_F(HostileServerDescriptorsTest, MoreThanAMessageMayBring) {
  ExpectViolation([&] { server_->Send(ReplyWith(17)); }, "17");
}

// What the client sends goes nowhere, and that is the server's affair.
TEST_F(HostileServerDescriptorsTest, ASideSocketThatIsClosedInTheMiddle) {
  server_->connection().side_socket = nullptr;
  const auto answer = [&] { server_->Send(ReplyWith(0)); };
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Call(answer, {"a", "b"}).ok());
}

}  // namespace
}  // namespace nearcall::integration
