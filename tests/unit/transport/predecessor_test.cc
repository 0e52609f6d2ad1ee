// SPDX-License-Identifier: Apache-2.0

// A listening socket that a live server gives to its successor (PROTOCOL.md, "A successor").
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "fake_peer.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/directory.h"
#include "transport/rendezvous/hello.h"
#include "transport/rendezvous/hello_socket.h"
#include "transport/rendezvous/listening_process.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr SocketAccess kTakeOver{.take_over = true};

std::unique_ptr<Listener> Bind(const std::string& name = "echo") {
  return Listener::Bind(Parse(name)).value();
}

ServeParams PassingOn(const std::shared_ptr<Listener>& listener) {
  ServeParams params = Server();
  params.listener = listener;
  return params;
}

ClientHello SuccessorsHello() {
  return {.transports = uint32_t{1} << kListenerBit};
}

base::Fd Accept(int listener) {
  WaitReadable(listener);
  return base::Fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

base::Fd ConnectTo(const NameDirectory& names, const std::string& name = "echo") {
  base::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const sockaddr_un address = SocketAddress(names / name);
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  return socket;
}

// The handshake of the first who asks for the socket. Before that a server that starts only looks whether one lives.
std::unique_ptr<ServerHandshake> AwaitSuccessor(const std::shared_ptr<Listener>& listener) {
  for (;;) {
    auto handshake = ServerHandshake::Start(Accept(listener->fd()), PassingOn(listener));
    while (handshake->Step() == Progress::kWaiting && !handshake->is_successor()) WaitReadable(handshake->fd());
    if (handshake->is_successor()) return handshake;
  }
}

Progress LastStep(ServerHandshake& handshake) {
  WaitReadable(handshake.fd());
  return handshake.Step();
}

// The door of a server that lets its socket be taken over, on a thread: one who knocks after the other.
class Door {
 public:
  explicit Door(std::unique_ptr<Listener> listener) : listener_(std::move(listener)), thread_([this] { Run(); }) {}
  explicit Door(const std::string& name = "echo") : Door(Bind(name)) {}
  Door(const Door&) = delete;
  ~Door() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }

  Listener& listener() { return *listener_; }
  // Waits until the socket has been taken.
  void AwaitSuccessor() {
    thread_.join();
    EXPECT_EQ(listener_, nullptr) << "nobody has taken it";
  }

 private:
  void Run() {
    while (!stopping_) {
      if (!WaitReadable(listener_->fd(), 5)) continue;
      base::Fd socket = Accept(listener_->fd());
      if (!socket.valid()) continue;
      const auto handshake = ServerHandshake::Start(std::move(socket), PassingOn(listener_));
      while (!stopping_ && handshake->Step() == Progress::kWaiting) WaitReadable(handshake->fd(), 5);
      if (handshake->Step() == Progress::kSucceeded) return listener_.reset();
    }
  }

  std::shared_ptr<Listener> listener_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

absl::StatusOr<std::unique_ptr<Listener>> TakeOver(const std::string& name = "echo") {
  return Listener::Bind(Parse(name), kTakeOver);
}

TEST(TakeOverTest, TheNameAndTheBacklogStay) {
  const NameDirectory names;
  Door former;
  auto successor = TakeOver();
  ASSERT_TRUE(successor.ok()) << successor.status();
  EXPECT_EQ((*successor)->TakeOver(), absl::OkStatus());
  former.AwaitSuccessor();
  const base::Fd client = ConnectTo(names);
  EXPECT_TRUE(Accept((*successor)->fd()).valid());
  EXPECT_FALSE(ListeningProcess(client).IsDead());
  EXPECT_THAT(names.Entries(), ElementsAre("echo"));
  successor->reset();
  EXPECT_THAT(names.Entries(), IsEmpty());
}

TEST(TakeOverTest, WhoWaitsInTheBacklogIsFoundByTheSuccessor) {
  const NameDirectory names;
  std::shared_ptr<Listener> former = Bind();
  const base::Fd waits = ConnectTo(names);
  std::thread thread([&] {
    Accept(former->fd()).Reset();  // who came first
    EXPECT_EQ(LastStep(*AwaitSuccessor(former)), Progress::kSucceeded);
    former.reset();
  });
  const auto successor = TakeOver().value();
  const base::Fd comes = ConnectTo(names);
  EXPECT_EQ(successor->TakeOver(), absl::OkStatus());
  thread.join();
  EXPECT_TRUE(Accept(successor->fd()).valid());
}

TEST(TakeOverTest, ASuccessorHasSuccessors) {
  const NameDirectory names;
  std::optional<Door> door;
  door.emplace();
  for (int i = 0; i < 5; ++i) {
    auto successor = TakeOver().value();
    ASSERT_EQ(successor->TakeOver(), absl::OkStatus());
    door->AwaitSuccessor();
    door.emplace(std::move(successor));
  }
  EXPECT_THAT(names.Entries(), ElementsAre("echo"));
}

TEST(TakeOverTest, WithoutAskingForItALiveNameIsTaken) {
  const NameDirectory names;
  const Door former;
  EXPECT_EQ(Listener::Bind(Parse("echo")).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST(TakeOverTest, AFreeNameIsBound) {
  const NameDirectory names;
  const auto listener = TakeOver().value();
  EXPECT_EQ(listener->TakeOver(), absl::OkStatus());
  EXPECT_THAT(names.Entries(), ElementsAre("echo"));
}

TEST(TakeOverTest, AServerThatAllowsNoneKeepsItsName) {
  const NameDirectory names;
  const auto former = Bind();
  std::thread thread([&] {
    EXPECT_FALSE(AcceptOne(*former).ok());  // it looks
    EXPECT_FALSE(AcceptOne(*former).ok());  // it asks
  });
  const absl::Status status = TakeOver().status();
  thread.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr("allow_successor"));
}

TEST(TakeOverTest, WhatIsNoSocketIsNotAskedForLong) {
  const NameDirectory names;
  ASSERT_TRUE(base::Fd(::open((names / "echo").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)).valid());
  const base::SteadyNs begin = base::NowNs();
  EXPECT_EQ(TakeOver().status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_LT(base::NowNs() - begin, base::kTakeOverNs);
}

// --- crashes in the middle ---

TEST(TakeOverTest, ASuccessorThatGoesBeforeItServesChangesNothing) {
  const NameDirectory names;
  Door former;
  ASSERT_TRUE(TakeOver().ok());
  EXPECT_THAT(names.Entries(), ElementsAre("echo"));
  const auto next = TakeOver().value();
  EXPECT_EQ(next->TakeOver(), absl::OkStatus());
  former.AwaitSuccessor();
}

// It may have called listen(2), and clients would be told that they talk to a dead process.
TEST(TakeOverTest, ASuccessorThatIsKilledIsNotTheListener) {
  const NameDirectory names;
  std::shared_ptr<Listener> former = Bind();
  Event offered;
  Child successor([&] {
    const auto listener = TakeOver();
    if (!listener.ok() || ::listen((*listener)->fd(), 1) != 0) return 1;
    offered.Set();
    ::pause();
    return 0;
  });
  {
    const auto handshake = AwaitSuccessor(former);
    offered.Wait();
    successor.Kill();
    EXPECT_EQ(LastStep(*handshake), Progress::kFailed);
  }
  EXPECT_FALSE(ListeningProcess(ConnectTo(names)).IsDead());
}

TEST(TakeOverTest, TheHeirOfAServerThatDiesInTheMiddleServes) {
  const NameDirectory names;
  Event bound;
  Child former([&] {
    const std::shared_ptr<Listener> listener = Bind();
    bound.Set();
    const auto handshake = AwaitSuccessor(listener);
    ::pause();
    return 0;
  });
  bound.Wait();
  const auto successor = TakeOver().value();
  former.Kill();
  EXPECT_EQ(successor->TakeOver(), absl::OkStatus());
  const base::Fd client = ConnectTo(names);
  EXPECT_TRUE(Accept(successor->fd()).valid());
  EXPECT_FALSE(ListeningProcess(client).IsDead());
}

TEST(TakeOverTest, OneThatLivesAndDoesNotGiveItUpKeepsIt) {
  const NameDirectory names;
  std::shared_ptr<Listener> former = Bind();
  std::thread thread([&] { AwaitSuccessor(former).reset(); });
  auto successor = TakeOver();
  thread.join();
  ASSERT_TRUE(successor.ok()) << successor.status();
  const absl::Status status = (*successor)->TakeOver();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  successor->reset();
  EXPECT_THAT(names.Entries(), ElementsAre("echo"));
  const base::Fd client = ConnectTo(names);
  EXPECT_TRUE(Accept(former->fd()).valid());
}

// Whoever stops just then leaves the name to the successor, if there is one in the end.
TEST(TakeOverTest, AServerThatStopsMeanwhileLeavesTheName) {
  const NameDirectory names;
  Door former;
  auto successor = TakeOver().value();
  EXPECT_TRUE(former.listener().Unlink().ok());
  EXPECT_THAT(names.Entries(), ElementsAre("echo"));
  EXPECT_EQ(successor->TakeOver(), absl::OkStatus());
  former.AwaitSuccessor();
  EXPECT_THAT(names.Entries(), ElementsAre("echo"));
}

TEST(TakeOverTest, AServerThatStopsMeanwhileTakesTheNameAwayIfNobodyTakesItOver) {
  const NameDirectory names;
  std::shared_ptr<Listener> former = Bind();
  ASSERT_TRUE(former->Offer().ok());
  EXPECT_TRUE(former->Unlink().ok());
  former->WithdrawOffer();
  EXPECT_THAT(names.Entries(), IsEmpty());
}

// --- who may ---

absl::Status AnswerTo(const ClientHello& hello, ServeParams params) {
  FakeClient client(std::move(params));
  client.Say(Encode(hello));
  return client.Answer().status;
}

TEST(SuccessorTest, OneAtATime) {
  const NameDirectory names;
  const std::shared_ptr<Listener> listener = Bind();
  {
    FakeClient first(PassingOn(listener));
    EXPECT_EQ(first.Say(Encode(SuccessorsHello())), Progress::kWaiting);
    EXPECT_EQ(AnswerTo(SuccessorsHello(), PassingOn(listener)).code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_TRUE(AnswerTo(SuccessorsHello(), PassingOn(listener)).ok());
}

TEST(SuccessorTest, OnlyTheSameUserIsGivenTheSocket) {
  NEARCALL_TEST_NEEDS_ROOT();
  const NameDirectory names;
  const std::shared_ptr<Listener> listener = Bind();
  ServeParams params = PassingOn(listener);
  params.allowed_uids = {kOtherUid};
  auto [ours, theirs] = SocketPair();
  Child stranger([&, socket = &theirs] {
    BecomeUser(kOtherUid);
    if (!SendHello(*socket, Encode(SuccessorsHello())).ok() || !WaitReadable(socket->get())) return 1;
    const auto answer = ReceiveHello(*socket, Taking::kTake);
    if (!answer.ok() || !answer->has_value() || !(*answer)->fds.empty()) return 2;
    const auto hello = DecodeServerHello((*answer)->bytes);
    return hello.ok() && absl::IsPermissionDenied(hello->status) ? 0 : 3;
  });
  EXPECT_EQ(Finish(std::move(ours), params).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(stranger.Wait(), 0);
  EXPECT_TRUE(listener->Offer().ok());  // it was not
}

TEST(SuccessorTest, TheListenerIsWantedAlone) {
  const NameDirectory names;
  const std::shared_ptr<Listener> listener = Bind();
  FakeClient client(PassingOn(listener));
  EXPECT_EQ(client.Say(Encode(ClientHello{.transports = 1u << 3 | uint32_t{1} << kListenerBit})), Progress::kWaiting);
  EXPECT_EQ(client.Answer().transport_bit, 3);
  EXPECT_FALSE(client.server().is_successor());
}

TEST(SuccessorTest, AnInheritedSocketIsNotPassedOn) {
  const NameDirectory names;
  const auto bound = Bind();
  const std::shared_ptr<Listener> adopted = Listener::Adopt(base::Duplicate(bound->fd())).value();
  EXPECT_EQ(AnswerTo(SuccessorsHello(), PassingOn(adopted)).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(SuccessorTest, GarbageInPlaceOfTheAcknowledgementChangesNothing) {
  const NameDirectory names;
  const std::shared_ptr<Listener> listener = Bind();
  const std::vector<std::vector<std::byte>> garbage = {std::vector<std::byte>(16), std::vector<std::byte>(300),
                                                       EncodeAck(absl::StatusCode::kInternal)};
  for (const auto& bytes : garbage) {
    FakeClient client(PassingOn(listener));
    EXPECT_EQ(client.Say(Encode(SuccessorsHello())), Progress::kWaiting);
    EXPECT_TRUE(client.Answer().status.ok());
    EXPECT_EQ(client.Say(bytes), Progress::kFailed);
    EXPECT_TRUE(listener->Offer().ok());
    listener->WithdrawOffer();
  }
}

TEST(SuccessorTest, AnOfferThatWasNotTakenIsNotAcknowledged) {
  const NameDirectory names;
  const std::shared_ptr<Listener> listener = Bind();
  FakeClient client(PassingOn(listener));
  EXPECT_EQ(client.Say(Encode(SuccessorsHello())), Progress::kWaiting);
  EXPECT_EQ(client.Say(EncodeAck(absl::StatusCode::kOk)), Progress::kFailed);
}

// --- a server that is not what it should be ---

class FalsePredecessorTest : public ::testing::Test {
 protected:
  // How a take-over ends whose predecessor answers so, with this descriptor.
  absl::Status TakeOverFrom(const ServerHello& answer, const base::Fd& fd) {
    std::thread thread([&] {
      Accept(listener_->fd()).Reset();  // it looks
      const base::Fd socket = Accept(listener_->fd());
      WaitReadable(socket.get());
      EXPECT_TRUE(ReceiveHello(socket, Taking::kTake).ok());
      std::vector<int> fds;
      if (fd.valid()) fds.push_back(fd.get());
      EXPECT_TRUE(SendHello(socket, Encode(answer), fds).ok());
      WaitReadable(socket.get());
    });
    const size_t before = OpenDescriptors();
    const absl::Status status = TakeOver().status();
    thread.join();
    // What was passed is closed by another thread.
    for (const base::SteadyNs until = Soon(); OpenDescriptors() > before && base::NowNs() < until;) {
      ::poll(nullptr, 0, 1);
    }
    EXPECT_LE(OpenDescriptors(), before);
    return status;
  }
  ServerHello Right() const {
    const Geometry geometry = listener_->Offer().value();
    listener_->WithdrawOffer();
    return {.transport_bit = kListenerBit, .fd_count = 1, .geometry = geometry};
  }

  NameDirectory names_;
  const std::unique_ptr<Listener> listener_ = Bind();
  const base::Fd socket_ = base::Duplicate(listener_->fd());
};

TEST_F(FalsePredecessorTest, TheRightAnswerIsTaken) {
  EXPECT_TRUE(TakeOverFrom(Right(), socket_).ok());
}

TEST_F(FalsePredecessorTest, SomethingElseThanTheListenerIsNotTaken) {
  ServerHello answer = Right();
  answer.transport_bit = 3;
  EXPECT_THAT(std::string(TakeOverFrom(answer, socket_).message()), HasSubstr("something else"));
}

TEST_F(FalsePredecessorTest, AnAnswerWithoutADescriptorIsNotBelieved) {
  EXPECT_THAT(std::string(TakeOverFrom(Right(), {}).message()), HasSubstr("passed 0"));
}

TEST_F(FalsePredecessorTest, WhatDoesNotListenIsNotTaken) {
  const base::Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_THAT(std::string(TakeOverFrom(Right(), file).message()), HasSubstr("not a listening"));
  const base::Fd connected = SocketPair().first;
  EXPECT_THAT(std::string(TakeOverFrom(Right(), connected).message()), HasSubstr("not a listening"));
}

}  // namespace
}  // namespace nearcall::transport::testing
