// SPDX-License-Identifier: Apache-2.0
#include "wire/envelope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "base/exec_state.h"
#include "base/limits.h"

namespace nearcall::wire {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::span<const std::byte> Bytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// A field of protobuf's encoding whose value is a string (wire type 2), by hand: what a hostile peer writes.
std::string Field(int number, const std::string& value) {
  std::string text(1, static_cast<char>(number << 3 | 2));
  for (size_t size = value.size();; size >>= 7) {
    text += static_cast<char>((size & 0x7f) | (size > 0x7f ? 0x80 : 0));
    if (size <= 0x7f) break;
  }
  return text + value;
}

std::string Entry(const std::string& key, const std::string& value) {
  return Field(1, key) + Field(2, value);
}

std::string MetadataError(const std::string& bytes) {
  return std::string(DecodeMetadataEnvelope(Bytes(bytes)).status().message());
}

std::string ReplyError(absl::StatusCode code, const std::string& bytes) {
  return std::string(DecodeReplyEnvelope(code, Bytes(bytes)).status().message());
}

ReplyEnvelope RoundTrip(const ReplyEnvelope& reply) {
  const absl::StatusOr<std::string> bytes = EncodeReplyEnvelope(reply);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  absl::StatusOr<ReplyEnvelope> decoded = DecodeReplyEnvelope(reply.status.code(), Bytes(*bytes));
  EXPECT_TRUE(decoded.ok()) << decoded.status();
  return *std::move(decoded);
}

absl::Status Error(absl::string_view text) {
  return absl::NotFoundError(text);
}

TEST(EnvelopeTest, MetadataComesBackInOrder) {
  const Metadata metadata = {{"b", "1"}, {"a", ""}, {"b", "2"}, {"raw-bin", std::string("\0\xff\n", 3)}};
  const absl::StatusOr<std::string> bytes = EncodeMetadataEnvelope(metadata);
  ASSERT_TRUE(bytes.ok());
  const absl::StatusOr<Metadata> decoded = DecodeMetadataEnvelope(Bytes(*bytes));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, metadata);
}

TEST(EnvelopeTest, NothingToSayIsNoEnvelope) {
  EXPECT_EQ(EncodeMetadataEnvelope({}).value(), "");
  EXPECT_EQ(EncodeReplyEnvelope({}).value(), "");
  EXPECT_EQ(EncodeReplyEnvelope({.status = Error("")}).value(), "");
}

TEST(EnvelopeTest, NoEnvelopeIsNothing) {
  EXPECT_TRUE(DecodeMetadataEnvelope({}).value().empty());
  const ReplyEnvelope ok = DecodeReplyEnvelope(absl::StatusCode::kOk, {}).value();
  EXPECT_TRUE(ok.status.ok());
  EXPECT_TRUE(ok.initial.empty() && ok.trailing.empty());
  const ReplyEnvelope failed = DecodeReplyEnvelope(absl::StatusCode::kAborted, {}).value();
  EXPECT_EQ(failed.status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ExecStateOf(failed.status), ExecState::kExecuted);
}

TEST(EnvelopeTest, AReplyComesBackWhole) {
  absl::Status status = Error("no such thing");
  status.SetPayload("type.test/a", absl::Cord(std::string("\0\x01\xff", 3)));
  status.SetPayload("not UTF-8 \xff", absl::Cord(""));
  const ReplyEnvelope reply =
      RoundTrip({.initial = {{"a", "1"}}, .trailing = {{"b", "2"}, {"c", "3"}}, .status = status});
  EXPECT_EQ(reply.initial, (Metadata{{"a", "1"}}));
  EXPECT_EQ(reply.trailing, (Metadata{{"b", "2"}, {"c", "3"}}));
  EXPECT_EQ(reply.status.message(), "no such thing");
  EXPECT_EQ(reply.status.GetPayload("type.test/a"), std::string("\0\x01\xff", 3));
  EXPECT_EQ(reply.status.GetPayload("not UTF-8 \xff"), "");
}

TEST(EnvelopeTest, AnOkReplyCarriesMetadata) {
  const ReplyEnvelope reply = RoundTrip({.trailing = {{"cost", "3"}}});
  EXPECT_TRUE(reply.status.ok());
  EXPECT_EQ(reply.trailing, (Metadata{{"cost", "3"}}));
}

TEST(EnvelopeTest, ExecStateComesBackInTheStatus) {
  for (const ExecState state : {ExecState::kNotStarted, ExecState::kMaybeExecuted, ExecState::kExecuted}) {
    const ReplyEnvelope reply = RoundTrip({.status = Error("x"), .exec_state = state});
    EXPECT_EQ(reply.exec_state, state);
    EXPECT_EQ(ExecStateOf(reply.status), state);
  }
}

TEST(EnvelopeTest, WhatTheServerNeverSentToItselfWasNotStarted) {
  EXPECT_EQ(RoundTrip({.status = Error("x"), .exec_state = ExecState::kNotSent}).exec_state, ExecState::kNotStarted);
}

TEST(EnvelopeTest, TheStateOfACallThatTheHandlerMadeIsNotSent) {
  const absl::Status downstream = base::WithExecState(Error("x"), ExecState::kNotSent);
  const std::string bytes = EncodeReplyEnvelope({.status = downstream}).value();
  EXPECT_THAT(bytes, Not(HasSubstr("exec_state")));
  EXPECT_EQ(ExecStateOf(RoundTrip({.status = downstream}).status), ExecState::kExecuted);
}

// --- limits ---

TEST(EnvelopeTest, StatusTextIsCutToItsLimit) {
  const ReplyEnvelope reply = RoundTrip({.status = Error(std::string(base::kMaxStatusTextSize + 1, 'x'))});
  EXPECT_EQ(reply.status.message().size(), base::kMaxStatusTextSize);
}

TEST(EnvelopeTest, StatusTextIsCutBetweenCharacters) {
  for (const std::string character : {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {  // of 2, 3, 4 bytes
    for (size_t over = 1; over < character.size(); ++over) {
      const std::string before(base::kMaxStatusTextSize - over, 'x');
      EXPECT_EQ(RoundTrip({.status = Error(before + character)}).status.message(), before);
    }
    const std::string fits = std::string(base::kMaxStatusTextSize - character.size(), 'x') + character;
    EXPECT_EQ(RoundTrip({.status = Error(fits + "y")}).status.message(), fits);
  }
}

TEST(EnvelopeTest, StatusTextThatIsNotUtf8IsCutSomewhere) {
  const ReplyEnvelope reply = RoundTrip({.status = Error(std::string(base::kMaxStatusTextSize + 9, '\x80'))});
  EXPECT_GE(reply.status.message().size(), base::kMaxStatusTextSize - 3);
}

TEST(EnvelopeTest, MetadataOf63KilobytesFits) {
  const Metadata metadata = {{"x", std::string(63 << 10, 'X')}};
  EXPECT_EQ(DecodeMetadataEnvelope(Bytes(EncodeMetadataEnvelope(metadata).value())).value(), metadata);
}

TEST(EnvelopeTest, TooMuchMetadataIsRefusedWithSizeAndLimit) {
  const absl::Status status = EncodeMetadataEnvelope({{"x", std::string(base::kMaxEnvelopeSize, 'X')}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("131072 B"));
}

absl::Status WithPayloads(size_t count) {
  absl::Status status = Error("x");
  for (size_t i = 0; i < count; ++i) status.SetPayload(absl::StrCat("type.test/", i), absl::Cord("x"));
  return base::WithExecState(status, ExecState::kExecuted);
}

TEST(EnvelopeTest, TooManyStatusPayloadsAreRefused) {
  EXPECT_TRUE(EncodeReplyEnvelope({.status = WithPayloads(base::kMaxStatusPayloads)}).ok());
  EXPECT_EQ(EncodeReplyEnvelope({.status = WithPayloads(base::kMaxStatusPayloads + 1)}).status().code(),
            absl::StatusCode::kResourceExhausted);
}

// --- hostile bytes ---

TEST(EnvelopeTest, ByHandAsByEncoder) {
  EXPECT_EQ(EncodeMetadataEnvelope({{"a", "b"}}).value(), Field(1, Entry("a", "b")));
  EXPECT_EQ(EncodeReplyEnvelope({.trailing = {{"a", "b"}}, .status = Error("no")}).value(),
            Field(2, Entry("a", "b")) + Field(3, "no"));
}

TEST(EnvelopeTest, RejectsBytesThatDoNotParse) {
  EXPECT_THAT(MetadataError("\xff"), HasSubstr("does not parse"));
  EXPECT_THAT(MetadataError(Field(1, Entry("a", "b")).substr(0, 5)), HasSubstr("does not parse"));
  EXPECT_THAT(ReplyError(absl::StatusCode::kAborted, "\x0a\xff"), HasSubstr("does not parse"));
}

TEST(EnvelopeTest, RejectsMetadataThatBreaksTheRules) {
  EXPECT_THAT(MetadataError(Field(1, "")), HasSubstr("empty key"));
  EXPECT_THAT(MetadataError(Field(1, Entry("Upper", "b"))), HasSubstr("\"Upper\""));
  EXPECT_THAT(MetadataError(Field(1, Entry("a", "\n"))), HasSubstr("printable"));
  EXPECT_THAT(ReplyError(absl::StatusCode::kOk, Field(2, Entry("a", "\n"))), HasSubstr("printable"));
  EXPECT_EQ(DecodeMetadataEnvelope(Bytes(Field(1, ""))).status().code(), absl::StatusCode::kInternal);
}

TEST(EnvelopeTest, RejectsPartsOfAReplyElsewhere) {
  EXPECT_THAT(MetadataError(Field(2, Entry("a", "b"))), HasSubstr("parts of a reply"));
  EXPECT_THAT(MetadataError(Field(3, "text")), HasSubstr("parts of a reply"));
  EXPECT_THAT(MetadataError("\x28\x01"), HasSubstr("parts of a reply"));  // exec_state
}

TEST(EnvelopeTest, RejectsDetailsOfAnErrorForOk) {
  EXPECT_THAT(ReplyError(absl::StatusCode::kOk, Field(3, "text")), HasSubstr("status OK"));
  EXPECT_THAT(ReplyError(absl::StatusCode::kOk, Field(4, Field(1, "t"))), HasSubstr("status OK"));
  EXPECT_THAT(ReplyError(absl::StatusCode::kOk, "\x28\x01"), HasSubstr("status OK"));
}

TEST(EnvelopeTest, RejectsAnUnknownExecState) {
  EXPECT_THAT(ReplyError(absl::StatusCode::kAborted, "\x28\x03"), HasSubstr("exec_state 3"));
}

TEST(EnvelopeTest, RejectsWhatIsOverALimit) {
  EXPECT_THAT(MetadataError(std::string(base::kMaxEnvelopeSize + 1, '\0')), HasSubstr("131073 B"));
  EXPECT_THAT(ReplyError(absl::StatusCode::kAborted, Field(3, std::string(base::kMaxStatusTextSize + 1, 'x'))),
              HasSubstr("8193 B of status text"));
  std::string payloads;
  for (size_t i = 0; i <= base::kMaxStatusPayloads; ++i) payloads += Field(4, Field(1, absl::StrCat(i)));
  EXPECT_THAT(ReplyError(absl::StatusCode::kAborted, payloads), HasSubstr("65 status payloads"));
}

TEST(EnvelopeTest, AForgedExecStatePayloadDoesNotCount) {
  const std::string forged = Field(4, Field(1, std::string(base::kExecStateUrl)) + Field(2, "0"));
  const ReplyEnvelope reply = DecodeReplyEnvelope(absl::StatusCode::kAborted, Bytes(forged)).value();
  EXPECT_EQ(ExecStateOf(reply.status), ExecState::kExecuted);
}

TEST(EnvelopeTest, FieldsOfALaterVersionAreIgnored) {
  EXPECT_EQ(DecodeMetadataEnvelope(Bytes(Field(1, Entry("a", "b")) + Field(15, "later"))).value(),
            (Metadata{{"a", "b"}}));
}

// --- the method's name ---

TEST(EnvelopeTest, ANameStandsBehindTheMetadata) {
  const std::string both = EncodeMetadataEnvelope({{"a", "b"}}).value() + EncodeMethodName("demo.Echo/Say");
  EXPECT_EQ(DecodeMethodName(Bytes(both)).value(), "demo.Echo/Say");
  EXPECT_EQ(DecodeMetadataEnvelope(Bytes(both)).value(), (Metadata{{"a", "b"}}));
  EXPECT_EQ(EncodeMethodName("a.B/C"), Field(6, "a.B/C")) << "as PROTOCOL.md says";
}

TEST(EnvelopeTest, ARequestMayHaveNoName) {
  EXPECT_EQ(DecodeMethodName({}).value(), "");
  EXPECT_EQ(DecodeMethodName(Bytes(Field(1, Entry("a", "b")))).value(), "");
}

TEST(EnvelopeTest, NamesThatAreNone) {
  const std::string longest = "a/" + std::string(1022, 'b');
  EXPECT_EQ(DecodeMethodName(Bytes(EncodeMethodName(longest))).value(), longest);
  for (const std::string& name :
       {longest + "b", std::string("a"), std::string("/a"), std::string("a/"), std::string("a/\n"), std::string("a /b"),
        std::string("a/\x7f"), std::string("a/\0b", 4)}) {
    EXPECT_FALSE(IsMethodName(name)) << name;
    EXPECT_EQ(DecodeMethodName(Bytes(EncodeMethodName(name))).status().code(), absl::StatusCode::kInternal) << name;
  }
  EXPECT_EQ(DecodeMethodName(Bytes("\xff")).status().code(), absl::StatusCode::kInternal);
}

TEST(EnvelopeTest, RandomBytesAreRefusedOrObeyTheRules) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const std::string valid =
      Field(1, Entry("key", "value")) + Field(2, Entry("a-bin", "\xff")) + Field(3, "text") + Field(4, Entry("t", "v"));
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = valid.substr(0, random() % (valid.size() + 1));
    for (size_t changes = random() % 4; changes > 0 && !bytes.empty(); --changes) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const absl::StatusOr<ReplyEnvelope> reply = DecodeReplyEnvelope(absl::StatusCode::kAborted, Bytes(bytes));
    if (!reply.ok()) continue;
    ASSERT_TRUE(reply->initial.Validate().ok() && reply->trailing.Validate().ok());
    ASSERT_TRUE(EncodeReplyEnvelope(*reply).ok());
  }
}

}  // namespace
}  // namespace nearcall::wire
