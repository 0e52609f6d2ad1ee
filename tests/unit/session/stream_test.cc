// SPDX-License-Identifier: Apache-2.0
#include "session/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "unit/session/frames.h"
#include "wire/attachments.h"

namespace nearcall::session {
namespace {

using testing::AsText;
using ::testing::HasSubstr;
using wire::FrameKind;

constexpr uint32_t kWindow = 100;

class StreamTest : public ::testing::Test {
 protected:
  // At the end of the one who is called, unless said otherwise.
  void Make(bool peer_is_caller, bool peer_streams = true) {
    stream_.emplace(Stream::Terms{.peer_is_caller = peer_is_caller,
                                  .peer_streams = peer_streams,
                                  .send_window = kWindow,
                                  .receive_window = kWindow},
                    reading_, writing_);
  }

  static wire::Message Frame(FrameKind kind, uint8_t flags, const std::string& envelope, const std::string& payload) {
    wire::Message message;
    message.header = testing::Header(kind, 1, 1);
    message.header.flags = flags;
    const std::string all = envelope + payload;
    if (!envelope.empty()) message.header.flags |= wire::kEnvelope;
    message.header.envelope_size = static_cast<uint32_t>(envelope.size());
    message.header.message_size = static_cast<uint32_t>(all.size());
    message.bytes.Resize(all.size());
    if (!all.empty()) std::memcpy(message.bytes.data(), all.data(), all.size());
    return message;
  }

  absl::Status Take(FrameKind kind, uint8_t flags = 0, const std::string& payload = "",
                    const std::string& envelope = "") {
    wire::Message message = Frame(kind, flags, envelope, payload);
    return stream_->Take(message);
  }
  absl::Status TakeCredit(uint32_t bytes) {
    wire::Message message = Frame(FrameKind::kCredit, 0, "", "");
    message.header.message_size = bytes;
    return stream_->Take(message);
  }

  std::vector<std::string> Arrived() {
    std::vector<std::string> all;
    Arrivals arrivals;
    while (stream_->TakeArrivals(arrivals)) {
      for (; !arrivals.empty(); arrivals.Pop()) all.push_back(AsText(arrivals.front()));
    }
    return all;
  }

  static std::string Packed(const std::vector<std::string>& elements) {
    std::string all;
    for (const std::string& element : elements) {
      const auto size = static_cast<uint32_t>(element.size());
      all.append(reinterpret_cast<const char*>(&size), sizeof(size));
      all += element;
    }
    return all;
  }

  void ExpectViolation(const absl::Status& status, const std::string& what) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
  }

  Waiting reading_;
  Waiting writing_;
  std::optional<Stream> stream_;
};

TEST_F(StreamTest, ElementsComeInOrder) {
  Make(true);
  EXPECT_TRUE(Take(FrameKind::kMessage, 0, "a").ok());
  EXPECT_TRUE(Take(FrameKind::kMessage, 0, "").ok());
  EXPECT_TRUE(reading_.news.load());
  EXPECT_EQ(Arrived(), (std::vector<std::string>{"a", ""}));
  EXPECT_FALSE(stream_->peer_is_done());
}

TEST_F(StreamTest, TheLastElementHalfCloses) {
  Make(true);
  EXPECT_TRUE(Take(FrameKind::kMessage, wire::kEnd, "last").ok());
  EXPECT_TRUE(stream_->peer_is_done());
  ExpectViolation(Take(FrameKind::kMessage, 0, "more"), "after the last");
  ExpectViolation(Take(FrameKind::kHalfClose), "after the last");
}

TEST_F(StreamTest, AHalfCloseTellsTheReader) {
  Make(true);
  EXPECT_TRUE(Take(FrameKind::kHalfClose).ok());
  EXPECT_TRUE(stream_->peer_is_done());
  EXPECT_TRUE(reading_.news.load());
}

TEST_F(StreamTest, OnlyTheCallerHalfCloses) {
  Make(false);
  ExpectViolation(Take(FrameKind::kHalfClose), "did not begin");
  ExpectViolation(Take(FrameKind::kMessage, wire::kEnd, "last"), "did not begin");
}

TEST_F(StreamTest, WhoDoesNotStreamSendsNoElements) {
  Make(false, false);
  ExpectViolation(Take(FrameKind::kMessage, 0, "a"), "after the last");
}

TEST_F(StreamTest, WhoDoesNotStreamMaySendMetadata) {
  Make(false, false);
  EXPECT_TRUE(Take(FrameKind::kMessage, wire::kPacked, "", "metadata").ok());
  EXPECT_EQ(stream_->initial_envelope(), "metadata");
  EXPECT_TRUE(Arrived().empty());
}

TEST_F(StreamTest, MetadataComeWithTheFirstMessage) {
  Make(false);
  EXPECT_FALSE(stream_->initial_envelope().has_value());
  EXPECT_TRUE(Take(FrameKind::kMessage, 0, "a", "metadata").ok());
  EXPECT_EQ(stream_->initial_envelope(), "metadata");
  EXPECT_EQ(Arrived(), (std::vector<std::string>{"a"}));
  ExpectViolation(Take(FrameKind::kMessage, 0, "b", "again"), "metadata");
}

TEST_F(StreamTest, AFirstElementWithoutMetadataSaysThatThereAreNone) {
  Make(false);
  EXPECT_TRUE(Take(FrameKind::kMessage, 0, "a").ok());
  EXPECT_EQ(stream_->initial_envelope(), "");
}

TEST_F(StreamTest, ACallersElementsBringNoMetadata) {
  Make(true);
  ExpectViolation(Take(FrameKind::kMessage, 0, "a", "metadata"), "metadata");
}

TEST_F(StreamTest, PackedElementsComeApart) {
  Make(true);
  EXPECT_TRUE(Take(FrameKind::kMessage, wire::kPacked | wire::kEnd, Packed({"a", "", "bc"})).ok());
  EXPECT_EQ(Arrived(), (std::vector<std::string>{"a", "", "bc"}));
  EXPECT_TRUE(stream_->peer_is_done());
}

TEST_F(StreamTest, APackedMessageThatEndsTooEarly) {
  Make(true);
  const std::string whole = Packed({"a", "bcd"});
  for (size_t size = 1; size < whole.size(); ++size) {
    if (size == 5) continue;  // one whole element
    Make(true);
    ExpectViolation(Take(FrameKind::kMessage, wire::kPacked, whole.substr(0, size)), "ends within");
  }
}

TEST_F(StreamTest, ALargePackedMessageKeepsItsCharge) {
  base::Pool pool(base::Amount::Of(0, 100'000));
  base::Allowance allowance({}, pool);
  Make(true);
  wire::Message message = Frame(FrameKind::kMessage, wire::kPacked, "", Packed({std::string(10'000, 'x')}));
  ASSERT_TRUE(message.charge.TryTake(&allowance, base::Amount::Of(0, 10'000)));
  EXPECT_TRUE(stream_->Take(message).ok());
  message.charge.Release();
  EXPECT_EQ(pool.taken().bytes(), 10'000u);
  EXPECT_EQ(Arrived().size(), 1u);
  EXPECT_EQ(pool.taken().bytes(), 0u);
}

TEST_F(StreamTest, AnElementWithoutCredit) {
  Make(true);
  EXPECT_TRUE(Take(FrameKind::kMessage, 0, std::string(kWindow, 'x')).ok());
  ExpectViolation(Take(FrameKind::kMessage), "without credit");
}

// However they travel: what is passed is held as long as what is copied.
TEST_F(StreamTest, AttachmentsCountForTheWindow) {
  Make(/*peer_is_caller=*/true);
  wire::Message first = Frame(FrameKind::kMessage, 0, "", "abc");
  first.attachments = wire::Attachments(wire::Attachments::Found{
      .list = {{.size = 1'000'000, .way = wire::Attachments::Way::kPassed}}, .tail_size = 1, .total = 1'000'000});
  ASSERT_TRUE(stream_->Take(first).ok());
  EXPECT_THAT(Take(FrameKind::kMessage, 0, "d").message(), HasSubstr("an element that began without credit"));
  Arrivals mine;
  ASSERT_TRUE(stream_->TakeArrivals(mine));
  EXPECT_EQ(AsText(mine.front()), "ab") << "what is behind the payload is not the element's";
  EXPECT_EQ(mine.front_cost(), 1'000'002u);
  ASSERT_NE(mine.FrontWithAttachments(), nullptr);
  EXPECT_EQ(mine.FrontWithAttachments()->attachments.found().list.size(), 1u);
}

TEST_F(StreamTest, PackedElementsNeedCreditEach) {
  Make(true);
  const std::vector<std::string> too_many(1 + kWindow / kElementCost + 1, "");
  ExpectViolation(Take(FrameKind::kMessage, wire::kPacked, Packed(too_many)), "without credit");
}

TEST_F(StreamTest, CreditLetsTheWriterGoOn) {
  Make(true);
  ASSERT_TRUE(stream_->BeginElement(kWindow));
  EXPECT_FALSE(stream_->BeginElement(0));
  EXPECT_TRUE(TakeCredit(kWindow).ok());
  EXPECT_TRUE(writing_.news.load());
  EXPECT_TRUE(stream_->BeginElement(0));
}

TEST_F(StreamTest, TooMuchCredit) {
  Make(true);
  ExpectViolation(TakeCredit(1), "more credit");
}

TEST_F(StreamTest, TheFirstFailureStays) {
  Make(true);
  stream_->Fail(absl::InternalError("first"));
  stream_->Fail(absl::InternalError("second"));
  EXPECT_EQ(stream_->failure().message(), "first");
  EXPECT_TRUE(reading_.news.load());
  EXPECT_TRUE(writing_.news.load());
}

TEST_F(StreamTest, WhoGivesUpWantsNothingThatHasCome) {
  Make(false);
  EXPECT_TRUE(Take(FrameKind::kMessage, 0, "a").ok());
  stream_->GiveUp();
  EXPECT_TRUE(stream_->given_up());
  EXPECT_TRUE(Arrived().empty());
}

// Where no thread waits.
TEST(WaitingTest, AListenerIsToldOnceOfAllNews) {
  struct : Listener {
    void OnNews() override { ++told; }
    int told = 0;
  } listener;
  Waiting waiting;
  waiting.listener = &listener;
  waiting.Poke();
  waiting.Poke();
  EXPECT_EQ(listener.told, 1);
  EXPECT_TRUE(waiting.has_news());
  waiting.ForgetNews();
  waiting.Poke();
  EXPECT_EQ(listener.told, 2);
}

}  // namespace
}  // namespace nearcall::session
