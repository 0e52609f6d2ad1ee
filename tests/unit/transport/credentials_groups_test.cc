// SPDX-License-Identifier: Apache-2.0

// Who is served: the rule, and what the kernel says of groups.
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <functional>
#include <memory>
#include <numeric>
#include <vector>

#include "base/limits.h"
#include "fake_peer.h"
#include "fake_transport.h"
#include "process.h"
#include "transport/rendezvous/credentials.h"
#include "transport/rendezvous/directory.h"

namespace nearcall::transport::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uid_t kNobody = static_cast<uid_t>(-1);
constexpr gid_t kGroup = 777;

// --- the rule ---

TEST(ServedTest, AGroupOpensTheDoorBesideTheListOfUsers) {
  const PeerIdentity by_main_group{.pid = 1, .uid = kOtherUid, .gid = kGroup};
  const PeerIdentity by_other_group{.pid = 1, .uid = kOtherUid, .gid = 5, .groups = {5, kGroup, 900}};
  const PeerIdentity stranger{.pid = 1, .uid = kOtherUid, .gid = 5, .groups = {5, 900}};
  for (const auto& uids : {std::vector<uid_t>{}, std::vector<uid_t>{4711}}) {
    EXPECT_TRUE(IsServed(by_main_group, uids, {kGroup}));
    EXPECT_TRUE(IsServed(by_other_group, uids, {1, kGroup}));
    EXPECT_FALSE(IsServed(stranger, uids, {1, kGroup}));
    EXPECT_FALSE(IsServed(by_main_group, uids, {}));
  }
}

TEST(ServedTest, AGroupTakesNothingFromTheListOfUsers) {
  const PeerIdentity own{.pid = 1, .uid = ::geteuid(), .gid = 5};
  EXPECT_TRUE(IsServed(own, {}, {kGroup}));
  EXPECT_FALSE(IsServed(own, {kOtherUid}, {kGroup}));
  EXPECT_TRUE(IsServed({.pid = 1, .uid = kOtherUid, .gid = 5}, {kOtherUid}, {kGroup}));
}

TEST(ServedTest, WhoIsNotNamedIsOfNoGroup) {
  EXPECT_FALSE(IsServed({.pid = 0, .uid = kNobody, .gid = static_cast<gid_t>(-1)}, {}, {static_cast<gid_t>(-1)}));
  EXPECT_FALSE(IsServed({.pid = 0, .uid = kNobody, .gid = kGroup}, {}, {kGroup}));
}

// --- what the kernel says ---

std::vector<gid_t> ManyGroups(size_t count) {
  std::vector<gid_t> groups(count);
  std::iota(groups.begin(), groups.end(), gid_t{1000});
  return groups;
}

PeerIdentity Self() {
  return {.pid = ::getpid(), .uid = ::geteuid(), .gid = ::getegid()};
}

// This process gets `groups` and makes a socket; what is known of `peer`, who is said to have spoken at the other end.
std::vector<gid_t> KnownOf(const std::vector<gid_t>& groups, const PeerIdentity& peer) {
  if (::setgroups(groups.size(), groups.data()) != 0) ::abort();
  const auto [ours, theirs] = SocketPair();
  return GroupsOf(peer, ours);
}

// The groups of a process are those of a child here.
#define NEARCALL_EXPECT_IN_CHILD(condition) EXPECT_EQ(Child([&] { return (condition) ? 0 : 1; }).Wait(), 0)

TEST(ServedTest, GroupsAreThoseOfWhoMadeTheSocket) {
  NEARCALL_TEST_NEEDS_ROOT();
  for (const size_t count : {size_t{0}, size_t{1}, size_t{32}, size_t{33}, base::kMaxPeerGroups}) {
    NEARCALL_EXPECT_IN_CHILD(KnownOf(ManyGroups(count), Self()) == ManyGroups(count)) << count;
  }
}

TEST(ServedTest, SoManyGroupsThatNobodyHasThemAreNotKept) {
  NEARCALL_TEST_NEEDS_ROOT();
  for (const size_t count : {base::kMaxPeerGroups + 1, size_t{65536}}) {
    NEARCALL_EXPECT_IN_CHILD(KnownOf(ManyGroups(count), Self()).empty()) << count;
  }
}

TEST(ServedTest, SomebodyElseDoesNotGetTheGroupsOfWhoMadeTheSocket) {
  NEARCALL_TEST_NEEDS_ROOT();
  const auto known_of = [](const std::function<void(PeerIdentity&)>& change) {
    PeerIdentity other = Self();
    change(other);
    return KnownOf({kGroup}, other);
  };
  NEARCALL_EXPECT_IN_CHILD(known_of([](PeerIdentity&) {}) == std::vector<gid_t>{kGroup});
  NEARCALL_EXPECT_IN_CHILD(known_of([](PeerIdentity& other) { ++other.pid; }).empty());
  NEARCALL_EXPECT_IN_CHILD(known_of([](PeerIdentity& other) { ++other.uid; }).empty());
  NEARCALL_EXPECT_IN_CHILD(known_of([](PeerIdentity& other) { ++other.gid; }).empty());
}

// --- handshakes ---

void BecomeMember(uid_t uid, const std::vector<gid_t>& groups) {
  if (::setgroups(groups.size(), groups.data()) != 0) ::abort();
  BecomeUser(uid);
}

// How Connect() of a user with these groups ends at a server that serves kGroup.
class GroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    NEARCALL_TEST_NEEDS_ROOT();
    ASSERT_EQ(::chmod(directory_.path().c_str(), 0755), 0);
    listener_ = Listener::Bind(Parse(directory_ / "public")).value();
    params_.allowed_uids = {4711};
    params_.allowed_gids = {kGroup};
  }

  int ConnectAs(const std::vector<gid_t>& groups) {
    Child client([&] {
      BecomeMember(kOtherUid, groups);
      return static_cast<int>(Connect(Parse(directory_ / "public"), Client()).status().code());
    });
    server_ = AcceptOne(*listener_, params_);
    return client.Wait();
  }

  const TemporaryDirectory directory_;
  std::unique_ptr<Listener> listener_;
  ServeParams params_ = Server();
  MaybeConnection server_;
};

TEST_F(GroupTest, AMemberIsServed) {
  EXPECT_EQ(ConnectAs({5, kGroup}), 0);
  ASSERT_TRUE(server_.ok()) << server_.status();
  EXPECT_EQ(server_->peer.uid, kOtherUid);
  EXPECT_THAT(server_->peer.groups, AllOf(SizeIs(2), Contains(kGroup)));
}

TEST_F(GroupTest, WhoIsNoMemberIsToldWhatToDo) {
  EXPECT_EQ(ConnectAs({5, 6}), static_cast<int>(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(server_.status().message(), AllOf(HasSubstr("does not serve uid 12345 of gid 12345 and groups 5, 6"),
                                                HasSubstr("ServerOptions::allowed_uids"), HasSubstr("allowed_gids")));
}

TEST_F(GroupTest, ManyGroupsLeaveRoomForTheRemedy) {
  std::vector<gid_t> groups(500);
  std::iota(groups.begin(), groups.end(), gid_t{4'000'000'000});
  EXPECT_EQ(ConnectAs(groups), static_cast<int>(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(server_.status().message(), HasSubstr("allowed_gids"));
  EXPECT_LE(server_.status().message().size(), 256u);
}

// It has the socket of a member, whose user is its own.
TEST_F(GroupTest, WhoInheritsTheSocketOfAMemberIsNone) {
  Child member([&] {
    BecomeMember(kOtherUid, {kGroup});
    base::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    const sockaddr_un address = SocketAddress(directory_ / "public");
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return 1;
    Child heir(
        [&] { return absl::IsPermissionDenied(Connect(FdAddress(std::move(socket)), Client()).status()) ? 0 : 1; });
    return heir.Wait();
  });
  EXPECT_TRUE(absl::IsPermissionDenied(AcceptOne(*listener_, params_).status()));
  EXPECT_EQ(member.Wait(), 0);
}

}  // namespace
}  // namespace nearcall::transport::testing
