// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "rpc/server/incoming_call.h"
#include "unit/rpc/incoming_call_fixture.h"

namespace nearcall::rpc {
namespace {

using testing::Answer;
using testing::Bytes;
using testing::ClientRequest;
using ::testing::Each;
using ::testing::HasSubstr;
using testing::MakeBytes;
using ::testing::SizeIs;

TEST_F(ServerCallTest, AOneWayCallIsAnsweredWhenItsHandlerStartsAndNotAgain) {
  std::optional<Answer> at_start;
  service_.handler = [&](ServerContext&, const Bytes&, Bytes& reply) {
    at_start = end_.TakeAnswer();
    reply.set_value("nobody reads it");
    return absl::OkStatus();
  };
  EXPECT_FALSE(Run(MakeOneWay()));
  ASSERT_TRUE(at_start);
  EXPECT_EQ(at_start->header.message_size, 0u);
  EXPECT_EQ(at_start->code(), absl::StatusCode::kOk);
  EXPECT_EQ(core_.one_way_failed, 0u);
}

TEST_F(ServerCallTest, TheSlotOfAOneWayCallIsFreeWhileItsHandlerRuns) {
  service_.handler = [&](ServerContext&, const Bytes&, Bytes&) {
    ClientRequest next = MakeOneWay(uint64_t{2} << wire::kSlotBits | 1);
    const auto call = end_.SendAndRead(next);
    EXPECT_NE(call, nullptr);
    if (call != nullptr) call->Reset();
    return absl::OkStatus();
  };
  EXPECT_TRUE(Run(MakeOneWay(uint64_t{1} << wire::kSlotBits | 1)));
  EXPECT_FALSE(end_.session().end().gone());
}

TEST_F(ServerCallTest, AOneWayCallThatFailsIsCountedAndLogged) {
  service_.handler = [](ServerContext&, const Bytes&, Bytes&) { return absl::NotFoundError("no such thing"); };
  EXPECT_TRUE(Run(MakeOneWay()));
  EXPECT_FALSE(end_.TakeAnswer());
  service_.handler = [](ServerContext&, const Bytes&, Bytes&) -> absl::Status { throw 1; };
  EXPECT_TRUE(Run(MakeOneWay(2)));
  EXPECT_FALSE(end_.TakeAnswer());
  EXPECT_EQ(core_.one_way_failed, 2u);
  core_.logger->Flush();
  EXPECT_THAT(log_.all(), ::testing::Contains(HasSubstr("test.Service/Do has ended with NOT_FOUND: no such thing")));
}

TEST_F(ServerCallTest, AOneWayCallThatDoesNotStartIsAnsweredWithItsStatus) {
  ExpectThatTheHandlerDoesNotRun();
  ClientRequest request = MakeOneWay();
  request.payload = "\xff";
  const auto answer = Run(request);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code(), absl::StatusCode::kInternal);
  EXPECT_EQ(answer->exec_state(), ExecState::kNotStarted);
}

TEST_F(ServerCallTest, ADeferredOneWayCallIsAnsweredBefore) {
  auto call = end_.SendAndRead(MakeOneWay());
  Bytes request;
  EXPECT_TRUE(call->ParseRequest(request));
  EXPECT_TRUE(end_.TakeAnswer());
  std::unique_ptr<internal::PendingAnswer> pending = call->Defer();
  ASSERT_FALSE(call->Drop());
  static_cast<void>(call.release());  // whoever answers it owns it
  pending.reset();
  EXPECT_FALSE(end_.TakeAnswer());
  EXPECT_EQ(core_.one_way_failed, 1u);
}

}  // namespace
}  // namespace nearcall::rpc
