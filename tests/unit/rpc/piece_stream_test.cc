// SPDX-License-Identifier: Apache-2.0
#include "rpc/piece_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "google/protobuf/wrappers.pb.h"

namespace nearcall::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr size_t kPiece = 8;
constexpr size_t kMaxFrame = wire::kHeaderSize + kPiece;

class PieceStreamTest : public ::testing::Test {
 protected:
  // Of a message of `size` bytes; gives up with piece `gives_up_at`.
  PieceStream Make(size_t size, size_t gives_up_at = 1000) {
    gives_up_at_ = gives_up_at;
    return PieceStream(size, kMaxFrame, sink_);
  }

  static bool Write(PieceStream& stream, const std::string& text) {
    return stream.Write(std::as_bytes(std::span(text)));
  }

  std::vector<std::string> pieces_;
  size_t gives_up_at_ = 0;
  const std::function<bool(std::span<const std::byte>)> sink_ = [this](std::span<const std::byte> piece) {
    if (pieces_.size() == gives_up_at_) return false;
    pieces_.emplace_back(reinterpret_cast<const char*>(piece.data()), piece.size());
    return true;
  };
};

TEST_F(PieceStreamTest, CutsAMessageIntoPieces) {
  PieceStream stream = Make(20);
  EXPECT_TRUE(Write(stream, "aaaaaaaabbbb"));
  EXPECT_TRUE(Write(stream, "bbbbcccc"));
  EXPECT_TRUE(stream.Finish());
  EXPECT_THAT(pieces_, ElementsAre("aaaaaaaa", "bbbbbbbb", "cccc"));
  EXPECT_EQ(stream.ByteCount(), 20);
}

TEST_F(PieceStreamTest, AWholeNumberOfPiecesHasNoEmptyOneAtItsEnd) {
  PieceStream stream = Make(16);
  EXPECT_TRUE(Write(stream, "aaaaaaaabbbbbbbb"));
  EXPECT_TRUE(stream.Finish());
  EXPECT_THAT(pieces_, ElementsAre("aaaaaaaa", "bbbbbbbb"));
}

TEST_F(PieceStreamTest, HandsAPieceOverWhenTheNextByteComes) {
  PieceStream stream = Make(9);
  EXPECT_TRUE(Write(stream, "aaaaaaaa"));
  EXPECT_THAT(pieces_, IsEmpty());
  EXPECT_TRUE(Write(stream, "b"));
  EXPECT_THAT(pieces_, ElementsAre("aaaaaaaa"));
  EXPECT_TRUE(stream.Finish());
}

TEST_F(PieceStreamTest, AnEmptyMessageHasNoPiece) {
  PieceStream stream = Make(0);
  EXPECT_TRUE(Write(stream, ""));
  EXPECT_TRUE(stream.Finish());
  EXPECT_THAT(pieces_, IsEmpty());
}

TEST_F(PieceStreamTest, WhatIsBackedUpIsWrittenAgain) {
  PieceStream stream = Make(10);
  EXPECT_TRUE(Write(stream, "aaa"));
  void* data;
  int size;
  ASSERT_TRUE(stream.Next(&data, &size));
  EXPECT_EQ(size, 5);
  std::memcpy(data, "bbxxx", 5);
  stream.BackUp(3);
  EXPECT_EQ(stream.ByteCount(), 5);
  EXPECT_TRUE(Write(stream, "ccccc"));
  EXPECT_TRUE(stream.Finish());
  EXPECT_THAT(pieces_, ElementsAre("aaabbccc", "cc"));
}

TEST_F(PieceStreamTest, OffersNoMoreRoomThanTheMessageNeeds) {
  PieceStream stream = Make(10);
  void* data;
  int size;
  ASSERT_TRUE(stream.Next(&data, &size));
  EXPECT_EQ(size, 8);
  ASSERT_TRUE(stream.Next(&data, &size));
  EXPECT_EQ(size, 2);
  EXPECT_FALSE(stream.Next(&data, &size));
  EXPECT_FALSE(stream.Finish());
}

TEST_F(PieceStreamTest, MoreBytesThanAnnouncedAreAFailure) {
  PieceStream stream = Make(10);
  EXPECT_FALSE(Write(stream, "aaaaaaaabbb"));
  EXPECT_FALSE(stream.Finish());
}

TEST_F(PieceStreamTest, FewerBytesThanAnnouncedAreAFailure) {
  PieceStream stream = Make(10);
  EXPECT_TRUE(Write(stream, "aaaaaaaab"));
  EXPECT_FALSE(stream.Finish());
  EXPECT_THAT(pieces_, ElementsAre("aaaaaaaa"));
}

TEST_F(PieceStreamTest, EndsWhenTheSinkGivesUp) {
  PieceStream stream = Make(30, 1);
  EXPECT_FALSE(Write(stream, "aaaaaaaabbbbbbbbcccccccc"));
  EXPECT_FALSE(stream.Finish());
  EXPECT_THAT(pieces_, ElementsAre("aaaaaaaa"));
}

// What protobuf itself does with it, for each way in which a message and its envelope may lie across the pieces.
TEST_F(PieceStreamTest, ProtobufWritesMessagesOfEverySize) {
  for (size_t envelope = 0; envelope < 20; ++envelope) {
    for (size_t length = 0; length < 70; ++length) {
      google::protobuf::BytesValue message;
      message.set_value(std::string(length, 'm'));
      const std::string before(envelope, 'e');
      pieces_.clear();
      PieceStream stream = Make(envelope + message.ByteSizeLong());
      ASSERT_TRUE(Write(stream, before));
      ASSERT_TRUE(message.SerializePartialToZeroCopyStream(&stream));
      ASSERT_TRUE(stream.Finish());
      std::string all;
      for (size_t i = 0; i < pieces_.size(); ++i) {
        if (i + 1 < pieces_.size()) {
          ASSERT_EQ(pieces_[i].size(), kPiece);
        }
        all += pieces_[i];
      }
      ASSERT_EQ(all, before + message.SerializeAsString());
    }
  }
}

TEST_F(PieceStreamTest, AMessageThatGrewAfterItWasMeasuredIsAFailure) {
  google::protobuf::BytesValue message;
  message.set_value(std::string(100, 'm'));
  PieceStream stream = Make(message.ByteSizeLong() - 10);
  const bool written = message.SerializePartialToZeroCopyStream(&stream);
  EXPECT_FALSE(written && stream.Finish());
}

}  // namespace
}  // namespace nearcall::rpc
