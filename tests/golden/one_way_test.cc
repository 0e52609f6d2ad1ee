// SPDX-License-Identifier: Apache-2.0

// Generated one-way methods have no reply, in any of the classes.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "fake_call.h"
#include "fake_channel.h"
#include "one_way.nearcall.pb.h"

namespace nearcall {
namespace {

using demo::one_way::Journal;
using demo::one_way::Line;
using internal::MethodKind;
using testing::FakeCall;
using testing::FakeChannel;

Line MakeLine(const std::string& text) {
  Line line;
  line.set_text(text);
  return line;
}

TEST(OneWayStubTest, PassesTheMethodTheRequestAndTheOptions) {
  const auto channel = std::make_shared<FakeChannel>();
  channel->status = absl::UnavailableError("gone");
  const Line line = MakeLine("hello");
  EXPECT_EQ(Journal::Stub(channel).Note(line, {.timeout = absl::Seconds(1), .capacity = Capacity::kLocal}),
            channel->status);
  EXPECT_STREQ(channel->info->full_name, "demo.one_way.Journal/Note");
  EXPECT_EQ(channel->info->kind, MethodKind::kOneWay);
  EXPECT_EQ(channel->info->priority, Priority::kLow);
  EXPECT_EQ(channel->sent, line.SerializeAsString());
  EXPECT_EQ(channel->timeout, absl::Seconds(1));
  EXPECT_EQ(channel->capacity, Capacity::kLocal);
  EXPECT_EQ(Journal::Stub(channel).Note(line), channel->status);
  EXPECT_EQ(channel->capacity, Capacity::kQueued);
}

TEST(OneWayStubTest, AnAsyncStubHandsOverTheStatus) {
  const auto channel = std::make_shared<FakeChannel>();
  channel->status = absl::UnavailableError("gone");
  absl::Status heard;
  Journal::AsyncStub(channel).Note(MakeLine("hello"), [&](absl::Status status) { heard = std::move(status); });
  EXPECT_EQ(heard, channel->status);
  EXPECT_EQ(channel->info->kind, MethodKind::kOneWay);
}

class JournalImpl final : public Journal::Service {
 public:
  absl::Status Note(ServerContext&, const Line& line) override {
    text = line.text();
    return absl::DataLossError("full");
  }

  std::string text;
};

TEST(OneWayServiceTest, LeadsACallToTheHandlerAndEndsItWithoutAReply) {
  JournalImpl journal;
  const internal::ServiceInfo& info = journal.GetServiceInfo();
  EXPECT_EQ(info.methods[0].info.kind, MethodKind::kOneWay);
  EXPECT_EQ(info.methods[1].info.kind, MethodKind::kUnary);
  FakeCall call(MakeLine("hello").SerializeAsString());
  info.methods[0].run(journal, call);
  EXPECT_EQ(journal.text, "hello");
  EXPECT_EQ(call.answers_without_reply, 1);
  EXPECT_EQ(call.answer, absl::DataLossError("full"));
}

TEST(OneWayServiceTest, WhatNobodyHasOverriddenIsUnimplemented) {
  Journal::Service journal;
  FakeCall call("");
  journal.GetServiceInfo().methods[0].run(journal, call);
  EXPECT_EQ(call.answer.code(), absl::StatusCode::kUnimplemented);
}

class LaterImpl final : public Journal::AsyncService {
 public:
  void Note(ServerContext&, const Line& line, Done done) override {
    last = &line;
    later = std::move(done);
  }

  const Line* last = nullptr;
  Done later;
};

TEST(OneWayServiceTest, AnAsyncHandlerKeepsTheRequestUntilItIsDone) {
  FakeCall call(MakeLine("hello").SerializeAsString());
  LaterImpl journal;
  journal.GetServiceInfo().methods[0].run(journal, call);
  EXPECT_EQ(call.answers, 0);
  EXPECT_EQ(journal.last->text(), "hello");
  std::move(journal.later)(absl::OkStatus());
  EXPECT_EQ(call.answers, 1);
  EXPECT_TRUE(call.answer.ok());
  EXPECT_EQ(call.reply_bytes, "");
}

}  // namespace
}  // namespace nearcall
