// SPDX-License-Identifier: Apache-2.0

// A server without a log sink, whose standard error is a pipe: full, without a reader, or read; and clients that make
// it log.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "child.h"
#include "fixture.h"
#include "raw_peer.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;

class StandardErrorTest : public IntegrationTest {
 protected:
  StandardErrorTest() {
    std::array<int, 2> ends;
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    reader_.Reset(ends[0]);
    writer_.Reset(ends[1]);
  }

  void Fill() {
    ::fcntl(writer_.get(), F_SETFL, O_NONBLOCK);
    const std::string much(4096, 'x');
    while (::write(writer_.get(), much.data(), much.size()) > 0) {
    }
    while (::write(writer_.get(), "x", 1) > 0) {
    }
    ::fcntl(writer_.get(), F_SETFL, 0);
  }

  // A process that serves until SIGTERM.
  Child::Body Serve() {
    return [this](Link& parent) {
      reader_.Reset();
      ::dup2(writer_.get(), STDERR_FILENO);
      writer_.Reset();
      const auto server = Must(
          ServerBuilder({.expected_clients = 48, .handle_signals = true}).Listen(Address()).Register(&echo).Start());
      parent.Tell();
      server->Wait();
    };
  }

  static void Misbehave() {
    const RawClient client(Address());
    client.SendControl(std::vector<std::byte>(3));
    EXPECT_TRUE(client.PeerHangsUp());
  }

  // A request whose text is none.
  static absl::Status SendBadText(Channel& channel) {
    Text reply;
    const std::string name = "nearcall.integration.Echo/Spell";
    const auto method =
        internal::MakeMethod(name.c_str(), internal::MethodKind::kUnary, Priority::kNormal, 0, /*may_block=*/false);
    return channel.BlockingCall(method, MakeBlob("\xff\xfe"), reply, {.timeout = kLong});
  }

  // What has been written so far.
  std::string Read() {
    std::string all;
    ::fcntl(reader_.get(), F_SETFL, O_NONBLOCK);
    std::array<char, 4096> part;
    for (ssize_t size; (size = ::read(reader_.get(), part.data(), part.size())) > 0;) {
      all.append(part.data(), static_cast<size_t>(size));
    }
    return all;
  }

  base::Fd reader_;
  base::Fd writer_;
};

TEST_F(StandardErrorTest, AFullOneHoldsUpNeitherCallsNorTheEnd) {
  Fill();
  Child server(Serve());
  ASSERT_EQ(server.link().Await(), "go");
  const auto channel = Connect();
  for (int i = 0; i < 5; ++i) {
    Misbehave();
    EXPECT_EQ(SendBadText(*channel).code(), StatusCode::kInternal);
    EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob(""), {.timeout = kLong}).ok());
  }
  ::kill(server.pid(), SIGTERM);
  EXPECT_EQ(server.Join(), 0);
}

TEST_F(StandardErrorTest, OneThatNobodyReadsDoesNotEndTheServer) {
  Child server(Serve());
  ASSERT_EQ(server.link().Await(), "go");
  reader_.Reset();
  const auto channel = Connect();
  for (int i = 0; i < 5; ++i) {
    Misbehave();
    EXPECT_EQ(SendBadText(*channel).code(), StatusCode::kInternal);
    EXPECT_TRUE(Echo::Stub(channel).Say(MakeBlob(""), {.timeout = kLong}).ok());
  }
  ::kill(server.pid(), SIGTERM);
  EXPECT_EQ(server.Join(), 0);
}

TEST_F(StandardErrorTest, BadRequestsWriteNothing) {
  Child server(Serve());
  ASSERT_EQ(server.link().Await(), "go");
  const auto channel = Connect();
  absl::Status status;
  for (int i = 0; i < 500; ++i) status = SendBadText(*channel);
  EXPECT_THAT(status, FailsWith(StatusCode::kInternal, "'nearcall.integration.Text.text'"));
  EXPECT_EQ(Read().size(), 0u);
  ::kill(server.pid(), SIGTERM);
  EXPECT_EQ(server.Join(), 0);
}

// Text that is none in what a handler answers: as often as it is asked to.
TEST_F(StandardErrorTest, BadRepliesWriteAFewLinesASecond) {
  echo.spell = [](ServerContext&, const Text&, Text& reply) {
    reply.set_text("\xff\xfe");
    return absl::OkStatus();
  };
  Child server(Serve());
  ASSERT_EQ(server.link().Await(), "go");
  const Echo::Stub stub = ConnectStub();
  const base::SteadyNs begin = base::NowNs();
  absl::Status status;
  for (int i = 0; i < 200; ++i) status = stub.Spell(Text(), {.timeout = kLong}).status();
  EXPECT_THAT(status, FailsWith(StatusCode::kInternal, "'nearcall.integration.Text.text'"));
  const auto seconds = static_cast<size_t>((base::NowNs() - begin) / 1'000'000'000 + 2);
  ::kill(server.pid(), SIGTERM);
  EXPECT_EQ(server.Join(), 0);
  const std::string text = Read();
  const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  EXPECT_GE(lines, 1u);
  EXPECT_LE(lines, 10 * seconds) << text;
}

TEST_F(StandardErrorTest, ViolationsWriteAFewLinesASecond) {
  Child server(Serve());
  ASSERT_EQ(server.link().Await(), "go");
  const auto channel = Connect();
  const base::SteadyNs begin = base::NowNs();
  for (int i = 0; i < 100; ++i) Misbehave();
  const auto seconds = static_cast<size_t>((base::NowNs() - begin) / 1'000'000'000 + 2);
  ::kill(server.pid(), SIGTERM);
  EXPECT_EQ(server.Join(), 0);
  const std::string text = Read();
  const auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  EXPECT_GE(lines, 1u);
  EXPECT_LE(lines, 10 * seconds) << text;
}

}  // namespace
}  // namespace nearcall::integration
