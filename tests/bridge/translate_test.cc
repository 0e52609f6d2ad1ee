// SPDX-License-Identifier: Apache-2.0
#include "translate.h"

#include <gmock/gmock.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/cord.h"
#include "absl/strings/str_join.h"
#include "attachments.h"
#include "interop.pb.h"
#include "nearcall/bridge/rpc_status.pb.h"

namespace nearcall::grpc {
namespace {

namespace pb = ::grpc::testing;

Buffer BufferOf(const std::string& text) {
  Buffer buffer = *Buffer::Allocate(text.size());
  std::copy(text.begin(), text.end(), reinterpret_cast<char*>(buffer.mutable_bytes().data()));
  return buffer;
}

std::string TextsOf(const std::vector<Buffer>& buffers) {
  return absl::StrJoin(buffers, "|", [](std::string* out, const Buffer& buffer) {
    out->append(reinterpret_cast<const char*>(buffer.bytes().data()), buffer.size());
  });
}

constexpr absl::string_view kDetail = "type.googleapis.com/google.rpc.RetryInfo";

TEST(TranslateTest, StatusWithDetailsComesBackAsItWas) {
  for (int code = 1; code <= 16; ++code) {
    absl::Status status(static_cast<absl::StatusCode>(code), "a message\n\u263a");
    status.SetPayload(kDetail, absl::Cord(std::string("\0\1\2", 3)));
    const ::grpc::Status translated = ToGrpc(status);
    EXPECT_EQ(static_cast<int>(translated.error_code()), code);
    EXPECT_EQ(FromGrpc(translated), status);
  }
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpc(::grpc::Status::OK).ok());
}

TEST(TranslateTest, DetailsAreThoseOfGoogleRpcStatus) {
  absl::Status status = absl::NotFoundError("gone");
  status.SetPayload(kDetail, absl::Cord("bytes"));
  bridge::RpcStatus details;
  ASSERT_TRUE(details.ParseFromString(ToGrpc(status).error_details()));
  EXPECT_EQ(details.code(), 5);
  EXPECT_EQ(details.message(), "gone");
  ASSERT_EQ(details.details_size(), 1);
  EXPECT_EQ(details.details(0).type_url(), kDetail);
  EXPECT_EQ(details.details(0).value(), "bytes");
}

TEST(TranslateTest, WhatIsOfThisProcessStaysHere) {
  absl::Status status = absl::NotFoundError("gone");
  status.SetPayload("type.nearcall/exec_state", absl::Cord("1"));
  EXPECT_EQ(ToGrpc(status).error_details(), "");
  bridge::RpcStatus forged;
  forged.add_details()->set_type_url("type.nearcall/exec_state");
  const absl::Status received = FromGrpc({::grpc::NOT_FOUND, "gone", forged.SerializeAsString()});
  EXPECT_FALSE(received.GetPayload("type.nearcall/exec_state").has_value());
}

TEST(TranslateTest, WhatIsNoStatusIsUnknown) {
  EXPECT_EQ(FromGrpc({::grpc::StatusCode::DO_NOT_USE, "?"}).code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(FromGrpc({::grpc::INTERNAL, "text", "\xff\xff"}), absl::InternalError("text"));
}

TEST(TranslateTest, MessagesOfManySlices) {
  const std::vector<::grpc::Slice> slices = {::grpc::Slice("one, "), ::grpc::Slice(""), ::grpc::Slice("two")};
  Parcel parcel{.message = Bytes("what was there"), .attachments = {BufferOf("too")}};
  ASSERT_TRUE(FromGrpc(::grpc::ByteBuffer(slices.data(), slices.size()), parcel).ok());
  EXPECT_EQ(parcel.message.str(), "one, two") << "no message of protobuf's, but that is its users' business";
  EXPECT_THAT(parcel.attachments, ::testing::IsEmpty());
  Parcel again;
  ASSERT_TRUE(FromGrpc(ToGrpc(parcel.message), again).ok());
  EXPECT_EQ(again.message.str(), parcel.message.str());
  ASSERT_TRUE(FromGrpc(ToGrpc(Bytes()), again).ok());
  EXPECT_EQ(again.message.str(), "");
}

TEST(TranslateTest, AttachmentsAreFieldsBehindTheMessage) {
  // A varint, 8 bytes, 4 bytes, bytes, and a group that has a field of the same number.
  const std::string fields(
      "\x08\x96\x01\x11"
      "12345678"
      "\x1d"
      "1234"
      "\x22\x02hi\x2b\xfa\xff\xff\xff\x0f\x01x\x2c",
      30);
  for (const std::string& message : {std::string(), fields}) {
    Parcel parcel;
    ASSERT_TRUE(FromGrpc(ToGrpc(Bytes(message), {{BufferOf("one"), BufferOf(""), BufferOf("three")}}), parcel).ok());
    EXPECT_EQ(parcel.message.str(), message);
    EXPECT_EQ(TextsOf(parcel.attachments), "one||three");
  }
}

// Whoever wrote them may have put them anywhere.
TEST(TranslateTest, AttachmentsBetweenFields) {
  pb::SimpleRequest request;
  google::protobuf::UnknownFieldSet& unknown = *request.GetReflection()->MutableUnknownFields(&request);
  unknown.AddLengthDelimited(kAttachmentField, "one");
  request.set_response_size(7);
  Parcel parcel;
  std::string both;
  ASSERT_TRUE(unknown.SerializeToString(&both));
  both += request.SerializeAsString();
  ASSERT_TRUE(FromGrpc(ToGrpc(Bytes(both)), parcel).ok());
  EXPECT_EQ(TextsOf(parcel.attachments), "one|one");
  pb::SimpleRequest rest;
  ASSERT_TRUE(rest.ParseFromString(parcel.message.str()));
  EXPECT_EQ(rest.response_size(), 7);
  EXPECT_TRUE(rest.GetReflection()->GetUnknownFields(rest).empty());
}

TEST(TranslateTest, WhatIsNoAttachmentStaysInTheMessage) {
  const std::string head = "\xfa\xff\xff\xff\x0f";
  for (const std::string& message :
       {head, head + "\x05only", head + std::string(10, '\xff'), std::string("\x22\x7f") + head + "\x01x",
        std::string("\x2c") + head + "\x01x", std::string("\x26") + head + "\x01x"}) {
    Parcel parcel;
    ASSERT_TRUE(FromGrpc(ToGrpc(Bytes(message)), parcel).ok());
    EXPECT_EQ(parcel.message.str(), message);
    EXPECT_THAT(parcel.attachments, ::testing::IsEmpty());
  }
}

TEST(TranslateTest, DeadlinesThatThereAreNot) {
  EXPECT_FALSE(ToGrpc(absl::InfiniteFuture()).has_value());
  EXPECT_EQ(FromGrpc(std::chrono::system_clock::time_point::max()), absl::InfiniteFuture());
  const absl::Time time = absl::FromUnixMillis(1'700'000'000'123);
  EXPECT_EQ(FromGrpc(*ToGrpc(time)), time);
}

// gRPC ends the process over the first of these.
TEST(TranslateTest, KeysOfGrpcsAndOfOursAreLeftOut) {
  const Metadata metadata = {{"grpc-timeout", "1S"}, {"te", "x"},    {"user-agent", "me"}, {"content-type", "x"},
                             {"nearcall-peer", "x"}, {"key", "one"}, {"key", "two"},       {"bin-bin", "\xff"}};
  Metadata sent;
  ToGrpc(metadata, [&](const std::string& key, const std::string& value) { sent.Add(key, value); });
  EXPECT_EQ(sent, (Metadata{{"key", "one"}, {"key", "two"}, {"bin-bin", "\xff"}}));

  std::multimap<std::string, std::string> received(metadata.begin(), metadata.end());
  Metadata translated;
  FromGrpc(received, translated);
  EXPECT_EQ(translated, (Metadata{{"bin-bin", "\xff"}, {"key", "one"}, {"key", "two"}}));
}

}  // namespace
}  // namespace nearcall::grpc
