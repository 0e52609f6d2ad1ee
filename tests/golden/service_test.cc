// SPDX-License-Identifier: Apache-2.0

// A generated Service leads a call to the handler and its answer back.
#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>

#include "awkward.nearcall.pb.h"
#include "echo.nearcall.pb.h"
#include "fake_call.h"
#include "nested.nearcall.pb.h"

namespace nearcall {
namespace {

using testing::FakeCall;

class EchoImpl final : public demo::Echo::Service {
 public:
  absl::Status Say(nearcall::ServerContext& context, const demo::Request& request, demo::Reply& reply) override {
    last_context = &context;
    reply.set_text(request.text());
    return request.text().empty() ? absl::InvalidArgumentError("say something") : absl::OkStatus();
  }

  const ServerContext* last_context = nullptr;
};

class ServiceTest : public ::testing::Test {
 protected:
  void Call(size_t method, FakeCall& call) { echo_.GetServiceInfo().methods[method].run(echo_, call); }
  static FakeCall CallWith(const std::string& text) {
    demo::Request request;
    request.set_text(text);
    return FakeCall(request.SerializeAsString());
  }

  EchoImpl echo_;
};

TEST_F(ServiceTest, ListsItsMethodsInTheOrderOfTheProto) {
  const internal::ServiceInfo& info = echo_.GetServiceInfo();
  EXPECT_STREQ(info.full_name, "demo.Echo");
  ASSERT_EQ(info.methods.size(), 4u);
  EXPECT_STREQ(info.methods[0].info.full_name, "demo.Echo/Say");
  EXPECT_STREQ(info.methods[3].info.full_name, "demo.Echo/Reverse");
  EXPECT_EQ(info.methods[3].info.id, internal::MethodId("demo.Echo/Reverse"));
}

TEST_F(ServiceTest, LeadsACallToTheHandlerAndBack) {
  FakeCall call = CallWith("hello");
  Call(0, call);
  EXPECT_EQ(call.answers, 1);
  EXPECT_TRUE(call.answer.ok());
  EXPECT_EQ(echo_.last_context, &call.context());
  demo::Reply reply;
  ASSERT_TRUE(reply.ParseFromString(call.reply_bytes));
  EXPECT_EQ(reply.text(), "hello");
}

TEST_F(ServiceTest, AnswersWithTheHandlersError) {
  FakeCall call = CallWith("");
  Call(0, call);
  EXPECT_EQ(call.answers, 1);
  EXPECT_EQ(call.answer, absl::InvalidArgumentError("say something"));
}

TEST_F(ServiceTest, AnswersUnimplementedForWhatIsNotOverridden) {
  FakeCall call = CallWith("hello");
  Call(1, call);
  EXPECT_EQ(call.answers, 1);
  EXPECT_EQ(call.answer, absl::UnimplementedError("demo.Echo/Shout is not implemented by this server"));
}

TEST_F(ServiceTest, LeavesACallAloneWhoseRequestDoesNotParse) {
  FakeCall call("\xff");
  Call(0, call);
  EXPECT_EQ(call.answers, 0);
  EXPECT_EQ(echo_.last_context, nullptr);
}

// Keeps the last call, to be answered by the test.
class AsyncEchoImpl final : public demo::Echo::AsyncService {
 public:
  void Say(ServerContext&, const demo::Request& request, demo::Reply& reply, Done done) override {
    last_request = &request;
    last_reply = &reply;
    last_done = std::move(done);
  }

  const demo::Request* last_request = nullptr;
  demo::Reply* last_reply = nullptr;
  Done last_done;
};

class AsyncServiceTest : public ::testing::Test {
 protected:
  void Call(size_t method, FakeCall& call) { echo_.GetServiceInfo().methods[method].run(echo_, call); }

  AsyncEchoImpl echo_;
  FakeCall call_{"\n\5hello"};
};

TEST_F(AsyncServiceTest, ListsTheSameMethods) {
  const std::span<const internal::ServerMethod> methods = echo_.GetServiceInfo().methods;
  const EchoImpl other;
  ASSERT_EQ(methods.size(), other.GetServiceInfo().methods.size());
  for (size_t i = 0; i < methods.size(); ++i) {
    EXPECT_EQ(methods[i].info.id, other.GetServiceInfo().methods[i].info.id);
  }
}

TEST_F(AsyncServiceTest, RequestAndReplyLiveUntilTheHandlerAnswers) {
  Call(0, call_);
  EXPECT_EQ(call_.answers, 0);
  echo_.last_reply->set_text(echo_.last_request->text());
  std::move(echo_.last_done)(absl::OkStatus());
  EXPECT_EQ(call_.answers, 1);
  EXPECT_EQ(call_.reply_bytes, "\n\5hello");
}

TEST_F(AsyncServiceTest, WhoeverDropsDoneDropsTheCall) {
  Call(0, call_);
  EXPECT_FALSE(call_.dropped);
  echo_.last_done = nullptr;
  EXPECT_TRUE(call_.dropped);
}

TEST_F(AsyncServiceTest, AnswersUnimplementedForWhatIsNotOverridden) {
  Call(1, call_);
  EXPECT_EQ(call_.answer, absl::UnimplementedError("demo.Echo/Shout is not implemented by this server"));
}

TEST(ServiceWithoutMethodsTest, ListsNone) {
  company::team::v1::Empty::Service empty;
  EXPECT_STREQ(empty.GetServiceInfo().full_name, "company.team.v1.Empty");
  EXPECT_TRUE(empty.GetServiceInfo().methods.empty());
}

// A class derived from a service whose methods have awkward names can still name the service.
class AwkwardImpl final : public demo::awkward::Echo::Service {
 public:
  absl::Status Echo(nearcall::ServerContext&, const demo::awkward::delete_&,
                    demo::awkward::delete__register&) override {
    return absl::OkStatus();
  }
  absl::Status Service_(nearcall::ServerContext&, const demo::awkward::delete_&,
                        demo::awkward::delete__register&) override {
    return absl::OkStatus();
  }
};

TEST(AwkwardServiceTest, OverridesRenamedMethods) {
  AwkwardImpl service;
  for (const internal::ServerMethod& method : service.GetServiceInfo().methods) {
    FakeCall call("");
    method.run(service, call);
    const std::string name = method.info.full_name;
    EXPECT_EQ(call.answer.ok(), name == "demo.awkward.Echo/Echo" || name == "demo.awkward.Echo/Service") << name;
  }
}

}  // namespace
}  // namespace nearcall
