// SPDX-License-Identifier: Apache-2.0

// What stands in the pipes, in how many system calls it gets there, and who is woken by it.

#include "transport/pipe/pipe_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <memory>
#include <string>
#include <thread>

#include "process.h"
#include "raw_pipe_client.h"

namespace nearcall::transport::pipe {
namespace {

using testing::IsRoot;
using ::testing::Optional;
using ReadState = Transport::ReadState;

class PipeTransportTest : public ::testing::Test {
 protected:
  PipeTransportTest()
      : offer_(*OfferPipe({})),
        raw_(*offer_),
        client_(*AttachPipe(Passed(*offer_), offer_->geometry())),
        server_(*offer_->Accept()) {
    offer_.reset();
  }

  // Until the pipe takes no more, and something is left over.
  void FillUp() {
    while (Commit(*server_, std::string(1000, 'x'))) server_->Flush();
  }

  ReadState PeekServer() {
    size_t size = 0;
    return server_->Peek(size);
  }

  std::unique_ptr<TransportOffer> offer_;
  RawClient raw_;
  std::unique_ptr<Transport> client_;
  std::unique_ptr<Transport> server_;
};

TEST_F(PipeTransportTest, AFrameStandsBehindItsLength) {
  ASSERT_TRUE(Commit(*server_, "abc"));
  ASSERT_TRUE(server_->Flush());
  EXPECT_EQ(raw_.Read(), std::string("\3\0\0\0abc", 7));
}

TEST_F(PipeTransportTest, CommittedFramesAreWrittenTogether) {
  ASSERT_TRUE(Commit(*server_, "a"));
  ASSERT_TRUE(Commit(*server_, "bb"));
  EXPECT_EQ(raw_.Read(), "");
  EXPECT_FALSE(server_->Notify());
  EXPECT_EQ(raw_.Read(), std::string("\1\0\0\0a\2\0\0\0bb", 11));
}

TEST_F(PipeTransportTest, ManyFramesAreReadTogether) {
  for (int i = 0; i < 100; ++i) raw_.WriteFrame("frame");
  EXPECT_THAT(Receive(*server_), Optional(std::string("frame")));
  pollfd item{.fd = server_->wait_fds().readable, .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&item, 1, 0), 0) << "there is more in the pipe";
  for (int i = 1; i < 100; ++i) EXPECT_THAT(Receive(*server_), Optional(std::string("frame")));
}

TEST_F(PipeTransportTest, AFrameInPiecesIsWhole) {
  raw_.WriteLength(5);
  for (const char c : std::string("abcd")) {
    raw_.Write(std::string(1, c));
    EXPECT_EQ(PeekServer(), ReadState::kEmpty);
    EXPECT_FALSE(server_->Arm(Transport::kFrames, 0)) << "half a frame is none";
  }
  raw_.Write("e");
  EXPECT_THAT(Receive(*server_), Optional(std::string("abcde")));
}

// Of 256 the first byte is 0, which is no length.
TEST_F(PipeTransportTest, ALengthInPiecesIsWhole) {
  const std::string frame(256, 'x');
  for (const char c : std::string("\0\1\0", 3)) {
    raw_.Write(std::string(1, c));
    EXPECT_EQ(PeekServer(), ReadState::kEmpty);
  }
  raw_.Write(std::string(1, '\0') + frame);
  EXPECT_THAT(Receive(*server_), Optional(frame));
}

TEST_F(PipeTransportTest, AfterAReadThatEmptiedThePipeItIsNotReadAgainInVain) {
  raw_.WriteFrame("a");
  EXPECT_THAT(Receive(*server_), Optional(std::string("a")));
  raw_.WriteFrame("b");
  EXPECT_EQ(PeekServer(), ReadState::kEmpty) << "once";
  EXPECT_TRUE(server_->Arm(Transport::kFrames, 0)) << "nothing is missed";
  EXPECT_THAT(Receive(*server_), Optional(std::string("b")));
}

TEST_F(PipeTransportTest, WhatComesAfterReleaseIsSeenAtOnce) {
  raw_.WriteFrame("a");
  EXPECT_THAT(Receive(*server_), Optional(std::string("a")));
  server_->Release();
  raw_.WriteFrame("b");
  EXPECT_THAT(Receive(*server_), Optional(std::string("b")));
}

TEST_F(PipeTransportTest, WhatAClientSentBeforeItsDeathIsReadToTheEnd) {
  raw_.WriteFrame("a");
  ASSERT_EQ(PeekServer(), ReadState::kFrame);
  raw_.WriteFrame("b");
  raw_.Die();
  client_.reset();
  EXPECT_THAT(Receive(*server_), Optional(std::string("a")));
  server_->Release();
  EXPECT_THAT(Receive(*server_), Optional(std::string("b")));
}

TEST_F(PipeTransportTest, WhileSomethingIsLeftOverThereIsNoRoom) {
  FillUp();
  EXPECT_FALSE(server_->Flush());
  EXPECT_TRUE(server_->Reserve(1, 3).empty());
  EXPECT_FALSE(server_->Arm(Transport::kRoom, 1));
  EXPECT_FALSE(server_->PeerHasReadAll());
  raw_.Read();
  EXPECT_TRUE(server_->Arm(Transport::kRoom, 1));
  EXPECT_FALSE(server_->PeerHasReadAll()) << "not what was left over";
  EXPECT_FALSE(server_->Reserve(1, 3).empty()) << "which Reserve() writes first";
  raw_.Read();
  EXPECT_TRUE(server_->PeerHasReadAll());
}

TEST_F(PipeTransportTest, AtMostTwoOfTheLargestFramesAreKept) {
  const std::string largest(kMaxFrameSize, 'x');
  size_t committed = 0;
  while (Commit(*server_, largest)) ++committed;
  const size_t in_pipe = raw_.Read().size();
  EXPECT_LE(committed * (kLengthSize + kMaxFrameSize) - in_pipe, kBufferSize);
  EXPECT_GE(committed, 4U);
}

TEST_F(PipeTransportTest, WhatIsLeftOverContinuesWhereThePipeStopped) {
  ASSERT_EQ(raw_.SetPipeSize(4096), 0);
  std::string frame(kMaxFrameSize, '\0');
  for (size_t i = 0; i < frame.size(); ++i) frame[i] = static_cast<char>(i * 7 % 251);
  ASSERT_TRUE(Commit(*server_, frame));
  std::string all;
  while (!server_->Flush()) all += raw_.Read();
  EXPECT_EQ((all + raw_.Read()).substr(kLengthSize), frame);
}

TEST_F(PipeTransportTest, TheEndInEpollHasADescriptorForEach) {
  const Transport::WaitFds fds = server_->wait_fds();
  EXPECT_EQ(fds.bell, -1);
  EXPECT_NE(fds.readable, -1);
  EXPECT_NE(fds.writable, -1);
  EXPECT_NE(fds.readable, fds.writable);
  EXPECT_EQ(client_->wait_fds().readable, -1);
  EXPECT_EQ(client_->wait_fds().writable, -1);
}

TEST_F(PipeTransportTest, TheClientSleepsForWhatItNamedAlone) {
  ASSERT_TRUE(Commit(*server_, "a"));
  ASSERT_TRUE(server_->Flush());
  while (Commit(*client_, std::string(1000, 'x'))) client_->Flush();
  ASSERT_FALSE(client_->Arm(Transport::kRoom, 1000));
  const base::SteadyNs until = base::NowNs() + 1'000'000;
  client_->Wait(until);
  EXPECT_GE(base::NowNs(), until) << "woken for a frame";
  ASSERT_TRUE(client_->Arm(Transport::kRoom | Transport::kFrames, 1000));
}

TEST_F(PipeTransportTest, TheClientIsWokenByAFrame) {
  ASSERT_FALSE(client_->Arm(Transport::kFrames, 0));
  std::thread server([&] {
    Commit(*server_, "a");
    server_->Flush();
  });
  client_->Wait(testing::Soon());
  EXPECT_THAT(Receive(*client_), Optional(std::string("a")));
  server.join();
}

// What the kernel refuses is the fault of whoever chose the pipe.
class PipeTransportRefusedTest : public ::testing::Test {
 protected:
  PipeTransportRefusedTest() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) ::abort();
    read_end_.Reset(fds[0]);
    write_end_.Reset(fds[1]);
  }

  void ExpectBroken(PipeTransport& transport, absl::string_view text) {
    size_t size = 0;
    EXPECT_EQ(transport.Peek(size), ReadState::kBroken);
    EXPECT_EQ(transport.error().code(), absl::StatusCode::kInternal);
    EXPECT_EQ(transport.error().message(), text);
    EXPECT_TRUE(transport.Arm(Transport::kFrames, 0)) << "it does not sleep";
  }

  base::Fd read_end_;
  base::Fd write_end_;
};

TEST_F(PipeTransportRefusedTest, APipeThatCannotBeWrittenBreaks) {
  PipeTransport transport({.incoming = {}, .outgoing = std::move(read_end_), .sleeper = nullptr});
  ASSERT_TRUE(Commit(transport, "a"));
  EXPECT_FALSE(transport.Flush());
  EXPECT_FALSE(Commit(transport, "a"));
  ExpectBroken(transport, "pipe: cannot write to the peer: Bad file descriptor");
}

TEST_F(PipeTransportRefusedTest, APipeThatCannotBeReadBreaks) {
  PipeTransport transport({.incoming = std::move(write_end_), .outgoing = {}, .sleeper = nullptr});
  ExpectBroken(transport, "pipe: the peer broke the protocol: it sent bytes that cannot be read: Bad file descriptor");
}

TEST_F(PipeTransportRefusedTest, APipeThatEndsBreaks) {
  write_end_.Reset();
  PipeTransport transport({.incoming = std::move(read_end_), .outgoing = {}, .sleeper = nullptr});
  ExpectBroken(transport,
               "pipe: the peer broke the protocol: it sent an end of file, which the pipe of an honest peer never has");
}

// The disposition of SIGPIPE is the default: it would end the test.
TEST_F(PipeTransportTest, NobodyReadingIsNoSignalAndNoError) {
  raw_.Die();
  client_.reset();
  FillUp();
  EXPECT_FALSE(server_->Flush());
  EXPECT_EQ(PeekServer(), ReadState::kEmpty);
  EXPECT_FALSE(server_->Arm(Transport::kFrames | Transport::kRoom, 1));
  EXPECT_EQ(server_->error(), absl::OkStatus());
}

TEST_F(PipeTransportTest, TheKernelHasTheLastWordOnTheSizeOfAPipe) {
  NEARCALL_TEST_NEEDS_ROOT();
  testing::Child user([] {
    testing::BecomeUser(54321);
    // 64 pipes of the largest size are all that a user may have; later ones get a page or two.
    std::vector<base::Fd> hoard;
    for (int i = 0; i < 64; ++i) {
      int fds[2];
      if (::pipe2(fds, O_CLOEXEC) != 0 || ::fcntl(fds[0], F_SETPIPE_SZ, 1 << 20) == -1) return 2;
      hoard.emplace_back(fds[0]);
      hoard.emplace_back(fds[1]);
    }
    const std::unique_ptr<TransportOffer> offer = *OfferPipe({});
    if (::fcntl(offer->fds()[0], F_GETPIPE_SZ) > 8192) return 3;
    const std::unique_ptr<Transport> client = *AttachPipe(Passed(*offer), offer->geometry());
    const std::unique_ptr<Transport> server = *offer->Accept();
    const std::string frame(kMaxFrameSize, 'x');
    if (!Commit(*client, frame)) return 4;
    std::optional<std::string> received;
    while (!received) {
      client->Flush();
      received = Receive(*server);
    }
    return *received == frame ? 0 : 5;
  });
  EXPECT_EQ(user.Wait(), 0);
}

}  // namespace
}  // namespace nearcall::transport::pipe
