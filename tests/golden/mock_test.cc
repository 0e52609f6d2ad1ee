// SPDX-License-Identifier: Apache-2.0

// Generated mocks, in place of what is served: a program that calls has a real stub.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "global_names.nearcall.mock.h"
#include "mocks.nearcall.mock.h"
#include "nearcall/testing.h"
#include "no_services.nearcall.mock.h"
#include "one_way.nearcall.mock.h"
#include "streams.nearcall.mock.h"

namespace nearcall {
namespace {

using demo::streams::MockStreams;
using demo::streams::Reply;
using demo::streams::Request;
using demo::streams::Streams;
using ::testing::_;
using ::testing::Return;
using ::testing::StrictMock;

class MockTest : public ::testing::Test {
 protected:
  static Request Text(const std::string& text) {
    Request request;
    request.set_text(text);
    return request;
  }

  StrictMock<MockStreams> streams_;
  nearcall::testing::TestServer server_{{&streams_}};
  Streams::Stub stub_{server_.channel()};
};

TEST_F(MockTest, AnswersAsTold) {
  EXPECT_CALL(streams_, Say).WillOnce([](ServerContext&, const Request& request, Reply& reply) {
    reply.set_text("not " + request.text());
    return absl::OkStatus();
  });
  const absl::StatusOr<Reply> reply = stub_.Say(Text("me"));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->text(), "not me");
  EXPECT_CALL(streams_, Say).WillOnce(Return(absl::NotFoundError("nobody")));
  EXPECT_EQ(stub_.Say(Text("me")).status().message(), "nobody");
}

TEST_F(MockTest, AnswersStreams) {
  EXPECT_CALL(streams_, Up).WillOnce([](ServerContext&, ServerReader<Request>& reader, Reply& reply) {
    for (const Request& request : reader) reply.mutable_text()->append(request.text());
    return absl::OkStatus();
  });
  const auto up = stub_.Up();
  EXPECT_TRUE(up->Write(Text("a")) && up->WriteLast(Text("b")));
  EXPECT_EQ(up->Finish()->text(), "ab");

  EXPECT_CALL(streams_, Down).WillOnce([](ServerContext&, const Request&, ServerWriter<Reply>& writer) {
    Reply reply;
    reply.set_text("one");
    EXPECT_TRUE(writer.Write(reply));
    return absl::OkStatus();
  });
  const auto down = stub_.Down(Text(""));
  Reply element;
  EXPECT_TRUE(down->Read(&element));
  EXPECT_EQ(element.text(), "one");
  EXPECT_TRUE(down->Finish().ok());

  EXPECT_CALL(streams_, Chat).WillOnce(Return(absl::AbortedError("no chat")));
  EXPECT_EQ(stub_.Chat()->Finish().message(), "no chat");
}

TEST_F(MockTest, AnswersOkByItself) {
  demo::mocks::MockGreeter request;
  ::testing::NiceMock<demo::mocks::MockGreeter__> greeter;
  nearcall::testing::TestServer server({&greeter});
  request.set_text("hello");
  const auto reply = demo::mocks::Greeter::Stub(server.channel()).Greet(request);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->text(), "");
}

TEST_F(MockTest, HearsOneWayCalls) {
  StrictMock<demo::one_way::MockJournal> journal;
  EXPECT_CALL(journal, Note(_, ::testing::Property(&demo::one_way::Line::text, "dear diary")))
      .WillOnce(Return(absl::OkStatus()));
  nearcall::testing::TestServer server({&journal});
  demo::one_way::Line line;
  line.set_text("dear diary");
  EXPECT_TRUE(demo::one_way::Journal::Stub(server.channel()).Note(line, {.capacity = Capacity::kStarted}).ok());
}

}  // namespace
}  // namespace nearcall
