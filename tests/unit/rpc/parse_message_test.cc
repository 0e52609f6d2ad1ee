// SPDX-License-Identifier: Apache-2.0
#include "rpc/parse_message.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "rpc/protobuf_log.h"

namespace nearcall::rpc {
namespace {

using google::protobuf::BytesValue;
using google::protobuf::StringValue;
using google::protobuf::UninterpretedOption;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Lt;
using ::testing::Not;

// A string field that is none.
std::string BadText() {
  BytesValue bytes;
  bytes.set_value("\xff\xfe");
  return bytes.SerializeAsString();
}

class ParseMessageTest : public ::testing::Test {
 protected:
  ParseMessageTest() { ProtobufLog::Install(); }

  template <typename Message>
  absl::Status Parse(const std::string& bytes) {
    Message message;
    return ParseMessage("the request of", "p.S/M", std::as_bytes(std::span(bytes)), message);
  }

  // What is written to standard error meanwhile.
  template <typename Do>
  static std::string Written(Do&& something) {
    ::testing::internal::CaptureStderr();
    something();
    return ::testing::internal::GetCapturedStderr();
  }
};

TEST_F(ParseMessageTest, WhatIsRightIsOk) {
  EXPECT_TRUE(Parse<BytesValue>(BadText()).ok());
  EXPECT_TRUE(Parse<StringValue>("").ok());
}

TEST_F(ParseMessageTest, TextThatIsNoneIsNamedAndNotLogged) {
  if (GOOGLE_PROTOBUF_VERSION >= 4022000) GTEST_SKIP() << "NOT TESTED: this protobuf logs by Abseil, past any handler";
  absl::Status status;
  EXPECT_THAT(Written([&] { status = Parse<StringValue>(BadText()); }), IsEmpty());
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("the request of p.S/M (4 B)"), HasSubstr("google.protobuf.StringValue"),
                                      HasSubstr("google.protobuf.StringValue.value'"), HasSubstr("UTF-8")));
}

TEST_F(ParseMessageTest, RequiredFieldsThatAreMissingAreNamedAndNotLogged) {
  UninterpretedOption option;
  option.add_name()->set_is_extension(true);
  absl::Status status;
  EXPECT_THAT(Written([&] { status = Parse<UninterpretedOption>(option.SerializePartialAsString()); }), IsEmpty());
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(status.message(), HasSubstr("required fields are missing: name[0].name_part"));
}

// protobuf would make a list of millions of names.
TEST_F(ParseMessageTest, TheExplanationIsBounded) {
  UninterpretedOption option;
  for (size_t i = 0; i < base::kMaxSizeToExplain / 8; ++i) option.add_name()->set_is_extension(true);
  EXPECT_THAT(Parse<UninterpretedOption>(option.SerializePartialAsString()).message(),
              AllOf(HasSubstr("required fields are missing: name[0].name_part"), ::testing::SizeIs(Lt(2000u))));
  for (size_t i = 0; i < base::kMaxSizeToExplain; ++i) option.add_name();
  EXPECT_THAT(Parse<UninterpretedOption>(option.SerializePartialAsString()).message(),
              AllOf(HasSubstr("required fields are missing"), Not(HasSubstr("name_part"))));
}

TEST_F(ParseMessageTest, AnythingElseDoesNotParse) {
  EXPECT_THAT(Parse<BytesValue>("\x0a\x7f").message(), HasSubstr("does not parse as google.protobuf.BytesValue"));
}

// What the program itself does with protobuf is its own business.
TEST_F(ParseMessageTest, OtherLinesOfProtobufGoWhereTheyWent) {
  StringValue value;
  EXPECT_THAT(Written([&] { EXPECT_FALSE(value.ParseFromString(BadText())); }), HasSubstr("UTF-8"));
  EXPECT_THAT(Written([&] {
                const ProtobufLog log;
                std::thread([&] { EXPECT_FALSE(value.ParseFromString(BadText())); }).join();
                EXPECT_THAT(log.text(), IsEmpty());
              }),
              HasSubstr("UTF-8"));
}

}  // namespace
}  // namespace nearcall::rpc
