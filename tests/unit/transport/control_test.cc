// SPDX-License-Identifier: Apache-2.0
#include "transport/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/mutex.h"
#include "fake_peer.h"
#include "process.h"
#include "slow_to_close.h"
#include "transport/rendezvous/control_message.h"
#include "transport/rendezvous/credentials.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = ControlMessage::Kind;

// Writes down what it hears: "cancel 7", "gone", ...
class RecordingSink final : public ControlSink {
 public:
  void OnControl(const ControlMessage& message) override {
    static constexpr const char* kNames[] = {"?", "cancel", "go-away", "ping", "pong"};
    Add(absl::StrCat(kNames[static_cast<int>(message.kind)], " ", message.call_id));
  }
  std::optional<transport::Progress> OnPing() override { return progress; }
  void OnPeerGone() override { Add("gone"); }
  void OnControlViolation(const char* what) override { Add(absl::StrCat("violation: ", what)); }

  std::optional<transport::Progress> progress;  // set before the watch begins

  std::vector<std::string> Next(int count) {
    while (count-- > 0) heard_.Wait();
    return All();
  }
  std::vector<std::string> All() {
    base::MutexLock lock(mutex_);
    return lines_;
  }
  std::function<void()> on_each = [] {};  // set before the watch begins

 private:
  void Add(std::string line) {
    {
      base::MutexLock lock(mutex_);
      lines_.push_back(std::move(line));
    }
    on_each();
    heard_.Set();
  }

  Event heard_;
  base::Mutex mutex_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mutex_);
};

// The peer's end as a bare socket.
class RawPeer {
 public:
  explicit RawPeer(base::Fd socket) : socket_(std::move(socket)) {}
  void Say(Kind kind, uint64_t number) { SayBytes(EncodeControl({.kind = kind, .call_id = number})); }
  void SayBytes(std::span<const std::byte> bytes) { ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // nullopt: the other side has hung up.
  std::optional<ControlMessage> Hear() {
    ControlBytes bytes;
    WaitReadable(socket_.get());
    const ssize_t size = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    return size == static_cast<ssize_t>(bytes.size()) ? DecodeControl(bytes) : std::nullopt;
  }
  int fd() const { return socket_.get(); }
  void Close() { socket_.Reset(); }

 private:
  base::Fd socket_;
};

class ControlTest : public ::testing::Test {
 protected:
  ControlTest() : ControlTest(SocketPair()) {}

  void Watch(base::Fd pidfd = {}) { channel_ = WatchControl(std::move(ours_), std::move(pidfd), sink_).value(); }

  base::Fd ours_;
  RawPeer peer_;
  std::shared_ptr<RecordingSink> sink_ = std::make_shared<RecordingSink>();
  std::unique_ptr<ControlChannel> channel_;

 private:
  explicit ControlTest(std::pair<base::Fd, base::Fd> pair)
      : ours_(std::move(pair.first)), peer_(std::move(pair.second)) {}
};

TEST_F(ControlTest, ReportsWhatThePeerSendsInOrder) {
  Watch();
  peer_.Say(Kind::kCancel, 7);
  peer_.Say(Kind::kGoAway, 0);
  peer_.Say(Kind::kPong, ~uint64_t{0});
  EXPECT_THAT(sink_->Next(3), ElementsAre("cancel 7", "go-away 0", "pong 18446744073709551615"));
}

TEST_F(ControlTest, ReportsWhatCameBeforeTheWatchBegan) {
  peer_.Say(Kind::kCancel, 7);
  peer_.Close();
  Watch();
  EXPECT_THAT(sink_->Next(2), ElementsAre("cancel 7", "gone"));
}

TEST_F(ControlTest, SendsToThePeer) {
  Watch();
  channel_->Send({.kind = Kind::kCancel, .call_id = 0x0102030405060708});
  const ControlMessage heard = peer_.Hear().value();
  EXPECT_EQ(heard.kind, Kind::kCancel);
  EXPECT_EQ(heard.call_id, 0x0102030405060708u);
}

TEST_F(ControlTest, AnswersPingsByItself) {
  Watch();
  peer_.Say(Kind::kPing, 9);
  const ControlMessage heard = peer_.Hear().value();
  EXPECT_EQ(heard.kind, Kind::kPong);
  EXPECT_EQ(heard.call_id, 9u);
  EXPECT_EQ(heard.progress, std::nullopt);
  EXPECT_THAT(sink_->All(), IsEmpty());
}

TEST_F(ControlTest, AnswersPingsWithWhatItsOwnerSaysOfItself) {
  sink_->progress = transport::Progress{.handlers_started = 7, .handlers_running = 2};
  Watch();
  peer_.Say(Kind::kPing, 9);
  EXPECT_EQ(peer_.Hear().value().progress, sink_->progress);
}

TEST(ControlMessageTest, BytesAreAsDocumented) {
  const ControlBytes bytes = EncodeControl({.kind = Kind::kPing, .call_id = 0x0102030405060708});
  const unsigned char expected[16] = {3, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1};
  EXPECT_EQ(std::memcmp(bytes.data(), expected, sizeof(expected)), 0);
}

TEST(ControlMessageTest, BytesOfProgressAreAsDocumented) {
  const transport::Progress progress{.handlers_started = 0x01020304, .handlers_running = 0x0506};
  const ControlBytes bytes = EncodeControl({.kind = Kind::kPong, .call_id = 9, .progress = progress});
  const unsigned char expected[16] = {4, 1, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(std::memcmp(bytes.data(), expected, sizeof(expected)), 0);
  EXPECT_EQ(DecodeControl(bytes).value().progress, progress);
}

// The reserved bytes may be anything.
TEST(ControlMessageTest, ProgressIsReadOnlyWhereItStands) {
  const transport::Progress progress{.handlers_started = 1, .handlers_running = 1};
  ControlBytes bytes = EncodeControl({.kind = Kind::kPong, .progress = progress});
  for (int mark = 0; mark < 256; ++mark) {
    bytes[1] = static_cast<std::byte>(mark);
    EXPECT_EQ(DecodeControl(bytes).value().progress.has_value(), mark == 1) << mark;
  }
  bytes[1] = std::byte{1};
  for (const Kind kind : {Kind::kCancel, Kind::kGoAway, Kind::kPing, Kind::kRing}) {
    bytes[0] = static_cast<std::byte>(kind);
    EXPECT_FALSE(DecodeControl(bytes).value().progress.has_value());
  }
}

// --- the end of the peer ---

TEST_F(ControlTest, AClosedPeerIsGoneOnceAndAfterAllItSaid) {
  Watch();
  for (uint64_t i = 0; i < 100; ++i) peer_.Say(Kind::kCancel, i);
  peer_.Close();
  const std::vector<std::string> heard = sink_->Next(101);
  EXPECT_EQ(heard[99], "cancel 99");
  EXPECT_EQ(heard[100], "gone");
  channel_.reset();
  EXPECT_EQ(sink_->All().size(), 101u);
}

TEST_F(ControlTest, WhatThePeerSaidCountsThoughItLeftOurMessagesUnread) {
  peer_.Say(Kind::kCancel, 7);
  const ControlBytes unread = EncodeControl({});
  ASSERT_EQ(::send(ours_.get(), unread.data(), unread.size(), 0), 16);
  peer_.Close();  // now recv says ECONNRESET first
  Watch();
  EXPECT_THAT(sink_->Next(2), ElementsAre("cancel 7", "gone"));
}

TEST_F(ControlTest, AKilledPeerIsGone) {
  Child peer([] { return ::pause(); });
  peer_.Close();
  Watch();
  const base::SteadyNs killed = base::NowNs();
  peer.Kill();
  EXPECT_THAT(sink_->Next(1), ElementsAre("gone"));
  RecordProperty("detection_us", static_cast<int>((base::NowNs() - killed) / 1000));
}

// A peer that has a child, which holds the socket as well: it does not hang up when the peer is killed.
class ControlOfAParentTest : public ControlTest {
 protected:
  // After the peer has sent a hundred cancels.
  ControlOfAParentTest() {
    parent_.emplace([&] {
      for (uint64_t i = 0; i < 100; ++i) peer_.Say(Kind::kCancel, i);
      if (::fork() == 0) {
        ::alarm(60);  // not for ever
        forked_.Set();
        while (!end_.IsSet()) ::poll(nullptr, 0, 10);
        ::_exit(0);
      }
      return ::pause();
    });
    forked_.Wait();
    peer_.Close();
  }
  ~ControlOfAParentTest() override { end_.Set(); }

  base::Fd OpenPidfd() { return OpenPeerPidfd(ours_, parent_->pid()); }

  Event forked_;
  Event end_;
  std::optional<Child> parent_;
};

TEST_F(ControlOfAParentTest, IsGoneWhenItIsDead) {
  Watch(OpenPidfd());
  EXPECT_EQ(sink_->Next(100).back(), "cancel 99");
  parent_->Kill();
  EXPECT_EQ(sink_->Next(1).back(), "gone");
}

TEST_F(ControlOfAParentTest, AllThatItSaidBeforeItsDeathCounts) {
  base::Fd pidfd = OpenPidfd();
  parent_->Kill();
  Watch(std::move(pidfd));
  const std::vector<std::string> heard = sink_->Next(101);
  EXPECT_EQ(heard[99], "cancel 99");
  EXPECT_EQ(heard.back(), "gone");
}

TEST_F(ControlTest, SendingToAPeerThatIsGoneDoesNothing) {
  Watch();
  peer_.Close();
  sink_->Next(1);
  for (int i = 0; i < 3000; ++i) channel_->Send({});
}

// --- violations ---

TEST_F(ControlTest, AnUnknownKindEndsTheConnection) {
  for (const uint8_t kind : std::vector<uint8_t>{0, 6, 255}) {
    auto [ours, theirs] = SocketPair();
    RawPeer peer(std::move(theirs));
    const auto sink = std::make_shared<RecordingSink>();
    const auto channel = WatchControl(std::move(ours), {}, sink);
    ControlBytes bytes{static_cast<std::byte>(kind)};
    peer.SayBytes(bytes);
    EXPECT_THAT(sink->Next(2), ElementsAre(HasSubstr("violation: a control message is of an unknown kind"), "gone"));
    EXPECT_EQ(peer.Hear(), std::nullopt);
  }
}

TEST_F(ControlTest, AWrongSizeEndsTheConnection) {
  for (const unsigned size : {1u, 15u, 17u, 32u, 100'000u}) {
    auto [ours, theirs] = SocketPair();
    RawPeer peer(std::move(theirs));
    const auto sink = std::make_shared<RecordingSink>();
    const auto channel = WatchControl(std::move(ours), {}, sink);
    peer.SayBytes(std::vector<std::byte>(size, std::byte{1}));
    peer.Say(Kind::kCancel, 7);
    EXPECT_THAT(sink->Next(2), ElementsAre(HasSubstr("violation: a control message has a wrong size"), "gone"));
  }
}

TEST_F(ControlTest, DescriptorsEndTheConnectionAndNeverArrive) {
  const auto another_use = StartTimer(base::kNever, [] {});  // else the monitor's own descriptors come and go
  for (const absl::string_view with : {"a message", "nothing"}) {
    auto [ours, theirs] = SocketPair();
    const base::Fd same = base::Duplicate(ours.get());
    RawPeer peer(std::move(theirs));
    const auto sink = std::make_shared<RecordingSink>();
    auto channel = WatchControl(std::move(ours), {}, sink).value();
    const size_t descriptors = OpenDescriptors();
    const int on = 1;
    ::setsockopt(same.get(), SOL_SOCKET, /*SO_PASSRIGHTS*/ 83, &on, sizeof(on));
    const ControlBytes bytes = EncodeControl({.kind = Kind::kCancel});
    ASSERT_TRUE(SendDescriptors(peer.fd(), std::span(bytes).first(with == "nothing" ? 0 : bytes.size()), 50));
    peer.Say(Kind::kCancel, 7);
    EXPECT_THAT(sink->Next(2), ElementsAre(HasSubstr("violation: a control message brings descriptors"), "gone"));
    EXPECT_EQ(peer.Hear(), std::nullopt);
    channel.reset();
    EXPECT_TRUE(SoonOpenDescriptors(descriptors - 1));
  }
}

TEST_F(ControlTest, TheKernelRefusesDescriptorsWhereItCan) {
  const base::Fd same = base::Duplicate(ours_.get());
  Watch();
  int passes = 0;
  socklen_t size = sizeof(passes);
  if (::getsockopt(same.get(), SOL_SOCKET, /*SO_PASSRIGHTS*/ 83, &passes, &size) != 0) {
    GTEST_SKIP() << "NOT TESTED: a kernel before 6.16";
  }
  EXPECT_FALSE(SendDescriptors(peer_.fd(), EncodeControl({.kind = Kind::kCancel}), 1));
  EXPECT_EQ(errno, EPERM);
}

// Whoever made the socket may have asked for them: a descriptor and a label with each message.
TEST_F(ControlTest, WhatTheKernelTellsOfTheSenderIsNotWanted) {
  const int on = 1;
  ::setsockopt(ours_.get(), SOL_SOCKET, /*SO_PASSPIDFD*/ 76, &on, sizeof(on));
  ::setsockopt(ours_.get(), SOL_SOCKET, SO_PASSSEC, &on, sizeof(on));
  ::setsockopt(ours_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
  Watch();
  const size_t descriptors = OpenDescriptors();
  for (uint64_t i = 0; i < 10; ++i) peer_.Say(Kind::kCancel, i);
  EXPECT_EQ(sink_->Next(10).back(), "cancel 9");
  EXPECT_EQ(OpenDescriptors(), descriptors);
}

TEST_F(ControlTest, AFloodOfOnePeerDoesNotHoldUpAnother) {
  std::pair<base::Fd, base::Fd> pair = SocketPair();
  RawPeer honest(std::move(pair.second));
  const auto honest_sink = std::make_shared<RecordingSink>();
  size_t flood_before_honest = 0;
  honest_sink->on_each = [&] { flood_before_honest = sink_->All().size(); };
  for (uint64_t i = 0; i < 200; ++i) peer_.Say(Kind::kCancel, i);
  honest.Say(Kind::kCancel, 7);
  std::unique_ptr<ControlChannel> honest_channel;
  // On the monitor's thread, so that it finds both at once.
  const auto starter = StartTimer(0, [&] {
    Watch();
    honest_channel = WatchControl(std::move(pair.first), {}, honest_sink).value();
  });
  honest_sink->Next(1);
  sink_->Next(200);
  EXPECT_LE(flood_before_honest, static_cast<size_t>(2 * base::kControlBatch));
}

// --- a peer that does not read ---

TEST_F(ControlTest, KeepsTheLatestForAPeerThatDoesNotRead) {
  Watch();
  constexpr uint64_t kMessages = 20'000;
  for (uint64_t i = 1; i <= kMessages; ++i) channel_->Send({.kind = Kind::kCancel, .call_id = i});
  std::vector<uint64_t> heard;
  while (heard.empty() || heard.back() != kMessages) heard.push_back(peer_.Hear()->call_id);
  EXPECT_TRUE(std::is_sorted(heard.begin(), heard.end()));
  EXPECT_EQ(heard.front(), 1u);
  EXPECT_LT(heard.size(), kMessages);
  EXPECT_EQ(heard[heard.size() - base::kMaxQueuedControlMessages], kMessages - base::kMaxQueuedControlMessages + 1);
}

TEST_F(ControlTest, SendsAtOnceAgainAfterTheQueueHasDrained) {
  Watch();
  for (uint64_t i = 1; i <= 2000; ++i) channel_->Send({.kind = Kind::kCancel, .call_id = i});
  while (peer_.Hear()->call_id != 2000) {
  }
  channel_->Send({.kind = Kind::kGoAway});
  EXPECT_EQ(peer_.Hear()->kind, Kind::kGoAway);
}

// --- our own end ---

TEST_F(ControlTest, AfterHangUpThePeerSeesTheEndAndTheSinkHearsNothing) {
  Watch();
  channel_->Send({.kind = Kind::kGoAway});
  channel_->HangUp();
  EXPECT_EQ(peer_.Hear()->kind, Kind::kGoAway);
  EXPECT_EQ(peer_.Hear(), std::nullopt);
  peer_.Close();
  channel_.reset();
  EXPECT_THAT(sink_->All(), IsEmpty());
}

TEST_F(ControlTest, AfterHangUpTheMonitorRests) {
  Watch();
  channel_->HangUp();
  const int64_t before = CpuTimeNs();
  Event fired;
  const auto timer = StartTimer(base::AddNs(base::NowNs(), 200'000'000), [&] { fired.Set(); });
  fired.Wait();
  EXPECT_LT(CpuTimeNs() - before, 100'000'000);
}

TEST_F(ControlTest, TheDestructorHangsUp) {
  Watch();
  channel_.reset();
  EXPECT_EQ(peer_.Hear(), std::nullopt);
}

TEST_F(ControlTest, TheDestructorWaitsForARunningCall) {
  const auto another_use = StartTimer(base::kNever, [] {});  // else the end of the thread is waited for
  Event in_call;
  std::atomic<bool> call_ended{false};
  sink_->on_each = [&] {
    in_call.Set();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    call_ended = true;
  };
  Watch();
  peer_.Say(Kind::kCancel, 7);
  in_call.Wait();
  channel_.reset();
  EXPECT_TRUE(call_ended);
}

TEST_F(ControlTest, MayBeDestroyedWithinItsOwnCall) {
  sink_->on_each = [&] { channel_.reset(); };
  Event watched;
  const auto starter = StartTimer(0, [&] {
    Watch();  // on the monitor's thread, so that the channel is there before its first call
    watched.Set();
  });
  watched.Wait();
  peer_.Say(Kind::kCancel, 7);
  peer_.Say(Kind::kCancel, 8);
  EXPECT_THAT(sink_->Next(1), ElementsAre("cancel 7"));
  EXPECT_EQ(peer_.Hear(), std::nullopt);
}

TEST_F(ControlTest, TheLastUseMayEndOnTheMonitorsThread) {
  Event watched;
  Event gone;
  sink_->on_each = [&] {
    watched.Wait();
    channel_.reset();
    gone.Set();
  };
  Watch();
  watched.Set();
  peer_.Close();
  gone.Wait();
  sink_->Next(1);
  EXPECT_TRUE(StartTimer(base::kNever, [] {}).ok());  // a new monitor, while the old one may still be ending
}

TEST_F(ControlTest, TheSinkMayBeDroppedAtAnyTime) {
  Watch();
  sink_.reset();
  peer_.Say(Kind::kCancel, 7);
  peer_.Say(Kind::kPing, 8);
  EXPECT_EQ(peer_.Hear()->call_id, 8u);
}

// A session: a sink that owns its channel, and that the monitor may be the last one to hold.
class OwningSink final : public ControlSink {
 public:
  explicit OwningSink(Event& destroyed) : destroyed_(destroyed) {}
  ~OwningSink() override { destroyed_.Set(); }
  void OnControl(const ControlMessage&) override { self = nullptr; }
  void OnPeerGone() override {}
  void OnControlViolation(const char*) override {}

  std::shared_ptr<OwningSink> self;
  std::unique_ptr<ControlChannel> channel;

 private:
  Event& destroyed_;
};

TEST_F(ControlTest, TheSinkMayOwnItsChannelAndDieInACall) {
  Event destroyed;
  auto sink = std::make_shared<OwningSink>(destroyed);
  sink->self = sink;
  sink->channel = WatchControl(std::move(ours_), {}, sink).value();
  sink.reset();
  peer_.Say(Kind::kCancel, 7);
  destroyed.Wait();
  EXPECT_EQ(peer_.Hear(), std::nullopt);
}

TEST_F(ControlTest, WithoutDescriptorsNamesTheLimit) {
  for (const int room : {0, 1}) {
    auto [ours, theirs] = SocketPair();
    const std::weak_ptr<ControlSink> sink = sink_;
    const NoMoreDescriptors limit(room);
    const absl::Status error = WatchControl(std::move(ours), {}, sink).status();
    EXPECT_TRUE(absl::IsResourceExhausted(error)) << room << error;
    EXPECT_THAT(error.message(), HasSubstr("RLIMIT_NOFILE is "));
  }
}

TEST_F(ControlTest, ASocketThatCannotBeWatchedIsAnError) {
  EXPECT_FALSE(WatchControl(base::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)), {}, sink_).ok());
  EXPECT_FALSE(WatchControl(base::Fd(), {}, sink_).ok());
}

TEST_F(ControlTest, ManyThreadsComeAndGo) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int round = 0; round < 50; ++round) {
        auto [ours, theirs] = SocketPair();
        RawPeer peer(std::move(theirs));
        const auto sink = std::make_shared<RecordingSink>();
        const auto channel = WatchControl(std::move(ours), {}, sink).value();
        peer.Say(Kind::kCancel, 7);
        if (round % 2 == 0) sink->Next(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace nearcall::transport::testing
