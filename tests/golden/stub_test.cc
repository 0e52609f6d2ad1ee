// SPDX-License-Identifier: Apache-2.0

// A generated Stub hands the runtime what the .proto says.
#include <gtest/gtest.h>

#include <memory>
#include <type_traits>
#include <utility>

#include "awkward.nearcall.pb.h"
#include "echo.nearcall.pb.h"
#include "fake_channel.h"
#include "lite.nearcall.pb.h"
#include "proto2.nearcall.pb.h"

namespace nearcall {
namespace {

using testing::FakeChannel;

class StubTest : public ::testing::Test {
 protected:
  std::shared_ptr<FakeChannel> channel_ = std::make_shared<FakeChannel>();
  demo::Echo::Stub echo_{channel_};
  demo::Request request_;
};

TEST_F(StubTest, PassesTheMethodTheRequestAndTheOptions) {
  request_.set_text("hello");
  channel_->text = "hello back";
  const absl::StatusOr<demo::Reply> reply = echo_.Shout(request_, {.timeout = absl::Milliseconds(5)});
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->text(), "hello back");
  EXPECT_STREQ(channel_->info->full_name, "demo.Echo/Shout");
  EXPECT_EQ(channel_->info->id, internal::MethodId("demo.Echo/Shout"));
  EXPECT_EQ(channel_->info->kind, internal::MethodKind::kUnary);
  EXPECT_EQ(channel_->sent, request_.SerializeAsString());
  EXPECT_EQ(channel_->timeout, absl::Milliseconds(5));
}

TEST_F(StubTest, ReturnsTheErrorInPlaceOfAReply) {
  channel_->status = absl::UnavailableError("gone");
  EXPECT_EQ(echo_.Say(request_).status(), channel_->status);
}

TEST_F(StubTest, FillsAReplyInPlace) {
  demo::Reply reply;
  channel_->text = "again";
  EXPECT_TRUE(echo_.Say(request_, &reply).ok());
  EXPECT_EQ(channel_->answered, &reply);
  EXPECT_EQ(reply.text(), "again");
  EXPECT_STREQ(channel_->info->full_name, "demo.Echo/Say");
  channel_->status = absl::UnavailableError("gone");
  EXPECT_EQ(echo_.Say(request_, &reply, {.timeout = absl::Seconds(1)}), channel_->status);
  EXPECT_EQ(channel_->timeout, absl::Seconds(1));
}

TEST_F(StubTest, AnAsyncStubPassesTheSameAndHandsOverTheReply) {
  request_.set_text("hello");
  channel_->text = "hello back";
  const demo::Echo::AsyncStub echo(channel_);
  std::string got;
  echo.Shout(request_, [&](absl::StatusOr<demo::Reply> reply) { got = reply->text(); },
             {.timeout = absl::Milliseconds(5)});
  EXPECT_EQ(got, "hello back");
  EXPECT_STREQ(channel_->info->full_name, "demo.Echo/Shout");
  EXPECT_EQ(channel_->sent, request_.SerializeAsString());
  EXPECT_EQ(channel_->timeout, absl::Milliseconds(5));
}

TEST_F(StubTest, AnAsyncStubHandsOverTheErrorInPlaceOfAReply) {
  channel_->status = absl::UnavailableError("gone");
  absl::Status got;
  // A callback may own what cannot be copied.
  demo::Echo::AsyncStub(channel_).Say(
      request_, [&got, owned = std::make_unique<int>()](absl::StatusOr<demo::Reply> reply) { got = reply.status(); });
  EXPECT_EQ(got, channel_->status);
}

TEST_F(StubTest, BothFormsPassTheSameMethodObject) {
  demo::Reply reply;
  ASSERT_TRUE(echo_.Say(request_).ok());
  const internal::MethodInfo* first = channel_->info;
  ASSERT_TRUE(echo_.Say(request_, &reply).ok());
  EXPECT_EQ(channel_->info, first);
}

TEST_F(StubTest, BracesAreOptionsAndNeverANullReply) {
  static_assert(std::is_same_v<decltype(echo_.Say(request_, {})), absl::StatusOr<demo::Reply>>);
  EXPECT_TRUE(echo_.Say(request_, {}).ok());
}

template <typename Pointer>
concept CanFill = requires(const demo::Echo::Stub& stub, const demo::Request& request, Pointer reply) {
  stub.Say(request, reply);
};

TEST_F(StubTest, TakesNoPointerButToItsReply) {
  static_assert(CanFill<demo::Reply*>);
  static_assert(!CanFill<const demo::Reply*>);
  static_assert(!CanFill<demo::Request*>);
  static_assert(!CanFill<google::protobuf::Message*>);
  static_assert(!CanFill<std::nullptr_t>);
}

TEST_F(StubTest, IsAValueThatKeepsTheChannelAlive) {
  static_assert(std::is_copy_constructible_v<demo::Echo::Stub> && std::is_copy_assignable_v<demo::Echo::Stub>);
  const std::weak_ptr<FakeChannel> weak = channel_;
  std::unique_ptr<demo::Echo::Stub> copy = std::make_unique<demo::Echo::Stub>(echo_);
  channel_.reset();
  echo_ = *copy;
  EXPECT_FALSE(weak.expired());
  echo_ = demo::Echo::Stub(nullptr);
  EXPECT_FALSE(weak.expired());
  copy.reset();
  EXPECT_TRUE(weak.expired());
}

TEST_F(StubTest, IsMadeFromWhatConnectReturns) {
  const absl::StatusOr<std::shared_ptr<Channel>> connected = channel_;
  const demo::Echo::Stub echo(*connected);
  EXPECT_TRUE(echo.Say(request_).ok());
}

TEST_F(StubTest, ARenamedMethodKeepsItsNameOnTheWire) {
  const demo::awkward::Echo::Stub stub(channel_);
  ASSERT_TRUE(stub.delete_({}).ok());
  EXPECT_STREQ(channel_->info->full_name, "demo.awkward.Echo/delete");
  ASSERT_TRUE(stub.Echo({}).ok());
  EXPECT_STREQ(channel_->info->full_name, "demo.awkward.Echo/Echo");
  ASSERT_TRUE(stub.channel__({}).ok());
  EXPECT_STREQ(channel_->info->full_name, "demo.awkward.Echo/channel_");
  ASSERT_TRUE(demo::awkward::class_::Stub(channel_).class_({}).ok());
  EXPECT_STREQ(channel_->info->full_name, "demo.awkward.class/class");
  EXPECT_STREQ(demo::awkward::class_::kFullName, "demo.awkward.class");
}

TEST_F(StubTest, ServesLiteMessagesAndFilesWithoutAPackage) {
  ASSERT_TRUE(demo::Lite::Stub(channel_).Go({}).ok());
  EXPECT_STREQ(channel_->info->full_name, "demo.Lite/Go");
  Lookup lookup;
  lookup.set_key("key");
  ASSERT_TRUE(::Directory::Stub(channel_).Find(lookup).ok());
  EXPECT_STREQ(channel_->info->full_name, "Directory/Find");
}

}  // namespace
}  // namespace nearcall
