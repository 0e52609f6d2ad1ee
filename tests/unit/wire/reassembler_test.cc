// SPDX-License-Identifier: Apache-2.0
#include "wire/reassembler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "support/sanitizers.h"

namespace nearcall::wire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr size_t kLimit = 20;

// A small language: frames go in, words come out: "nothing", "message 1 abc" (call and content), "too large 1",
// "no memory 1", "aborted 1", or the text of the violation.
class ReassemblerTest : public ::testing::Test {
 protected:
  std::string Whole(int lane, uint64_t call, absl::string_view payload) {
    return Receive(Frame(lane, call, kFirst | kLast, payload.size(), payload.size()), payload);
  }
  std::string First(int lane, uint64_t call, absl::string_view payload, size_t message_size) {
    return Receive(Frame(lane, call, kFirst, payload.size(), message_size), payload);
  }
  std::string Middle(int lane, uint64_t call, absl::string_view payload, size_t message_size) {
    return Receive(Frame(lane, call, 0, payload.size(), message_size), payload);
  }
  std::string Last(int lane, uint64_t call, absl::string_view payload, size_t message_size) {
    return Receive(Frame(lane, call, kLast, payload.size(), message_size), payload);
  }
  std::string Abort(int lane, uint64_t call, size_t message_size) {
    return Receive(Frame(lane, call, kLast | kAborted, 0, message_size), "");
  }

  static FrameHeader Frame(int lane, uint64_t call, int flags, size_t payload_size, size_t message_size) {
    return {.kind = FrameKind::kMessage,
            .flags = static_cast<uint8_t>(flags),
            .priority = static_cast<uint8_t>(lane),
            .payload_size = static_cast<uint32_t>(payload_size),
            .call_id = call,
            .message_size = static_cast<uint32_t>(message_size)};
  }

  std::string Receive(const FrameHeader& header, absl::string_view payload) {
    int copies = 0;
    message_.header = header;  // as a session does it
    const auto result = reassembler_.Receive(message_.header, message_, [&](std::span<std::byte> to) {
      ++copies;
      ASSERT_EQ(to.size(), payload.size());
      std::memcpy(to.data(), payload.data(), payload.size());
    });
    EXPECT_LE(copies, 1);
    copied_ = copies != 0;
    if (!result.ok()) return std::string(result.status().message());
    EXPECT_TRUE(reassembler_.CheckInvariants());
    return Say(*result);
  }

  std::string Say(Reassembler::Result result) const {
    const uint64_t call = message_.header.call_id;
    switch (result) {
      case Reassembler::Result::kNothing:
        return "nothing";
      case Reassembler::Result::kTooLarge:
        return absl::StrCat("too large ", call);
      case Reassembler::Result::kNoMemory:
        return absl::StrCat("no memory ", call);
      case Reassembler::Result::kOverQuota:
        return absl::StrCat("over quota ", call);
      case Reassembler::Result::kAborted:
        return absl::StrCat("aborted ", call);
      case Reassembler::Result::kMessage:
        const auto bytes = message_.bytes.bytes();
        return absl::StrCat("message ", call, " ",
                            absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    }
    return "?";
  }

  Reassembler reassembler_{kLimit};
  Message message_;
  bool copied_ = false;
};

TEST_F(ReassemblerTest, AWholeMessageComesAtOnce) {
  EXPECT_EQ(Whole(0, 1, "abc"), "message 1 abc");
  EXPECT_EQ(reassembler_.bytes_held(), 0u);
}

TEST_F(ReassemblerTest, AnEmptyMessageNeedsNoCopy) {
  EXPECT_EQ(Whole(0, 1, ""), "message 1 ");
  EXPECT_FALSE(copied_);
}

TEST_F(ReassemblerTest, FragmentsBecomeOneMessage) {
  EXPECT_EQ(First(0, 1, "abc", 8), "nothing");
  EXPECT_EQ(Middle(0, 1, "de", 8), "nothing");
  EXPECT_EQ(Last(0, 1, "fgh", 8), "message 1 abcdefgh");
  EXPECT_EQ(reassembler_.bytes_held(), 0u);
}

TEST_F(ReassemblerTest, TheMessagesHeaderIsThatOfItsFirstFrame) {
  FrameHeader first = Frame(0, 1, kFirst, 3, 5);
  first.sequence = 7;
  FrameHeader last = Frame(0, 1, kLast, 2, 5);
  last.sequence = 9;
  Receive(first, "abc");
  Receive(last, "de");
  EXPECT_EQ(message_.header.sequence, 7u);
  EXPECT_EQ(message_.header.flags, kFirst);
}

TEST_F(ReassemblerTest, WholeMessagesMayStandBetweenTheFragmentsOfTheirLane) {
  EXPECT_EQ(First(0, 1, "abc", 6), "nothing");
  EXPECT_EQ(Whole(0, 2, "xyz"), "message 2 xyz");
  EXPECT_EQ(Whole(0, 3, ""), "message 3 ");
  EXPECT_EQ(Last(0, 1, "def", 6), "message 1 abcdef");
}

TEST_F(ReassemblerTest, EachLaneHasItsOwnPartialMessage) {
  EXPECT_EQ(First(0, 1, "ab", 4), "nothing");
  EXPECT_EQ(First(3, 2, "st", 4), "nothing");
  EXPECT_EQ(Last(0, 1, "cd", 4), "message 1 abcd");
  EXPECT_EQ(Last(3, 2, "uv", 4), "message 2 stuv");
}

TEST_F(ReassemblerTest, ACreditIsAnEmptyMessageHoweverLargeItIs) {
  FrameHeader credit = Frame(0, 1, kFirst | kLast, 0, 1u << 30);
  credit.kind = FrameKind::kCredit;
  EXPECT_EQ(Receive(credit, ""), "message 1 ");
}

// --- limits ---

TEST_F(ReassemblerTest, TheLimitItselfIsTaken) {
  const std::string payload(kLimit, 'x');
  EXPECT_EQ(Whole(0, 1, payload), "message 1 " + payload);
  EXPECT_EQ(First(0, 2, payload.substr(1), kLimit), "nothing");
  EXPECT_EQ(Last(0, 2, "x", kLimit), "message 2 " + payload);
}

TEST_F(ReassemblerTest, AWholeMessageOverTheLimitIsNotCopied) {
  EXPECT_EQ(Whole(0, 1, std::string(kLimit + 1, 'x')), "too large 1");
  EXPECT_FALSE(copied_);
  EXPECT_EQ(message_.bytes.capacity(), 0u);
  EXPECT_EQ(Whole(0, 2, "abc"), "message 2 abc");
}

TEST_F(ReassemblerTest, AFragmentedMessageOverTheLimitIsToldOnceAndDropped) {
  EXPECT_EQ(First(0, 1, "abc", kLimit + 1), "too large 1");
  EXPECT_FALSE(copied_);
  EXPECT_EQ(reassembler_.bytes_held(), 0u);
  EXPECT_EQ(Middle(0, 1, std::string(10, 'x'), kLimit + 1), "nothing");
  EXPECT_FALSE(copied_);
  EXPECT_EQ(Last(0, 1, std::string(8, 'x'), kLimit + 1), "nothing");
  EXPECT_EQ(First(0, 2, "ab", 3), "nothing");
  EXPECT_EQ(Last(0, 2, "c", 3), "message 2 abc");
}

TEST_F(ReassemblerTest, ADroppedMessageMustKeepTheRulesToo) {
  EXPECT_EQ(First(0, 1, "abc", kLimit + 1), "too large 1");
  EXPECT_THAT(Last(0, 1, "x", kLimit + 1), HasSubstr("violation"));
}

TEST_F(ReassemblerTest, ADroppedMessageMayBeAborted) {
  EXPECT_EQ(First(0, 1, "abc", kLimit + 1), "too large 1");
  EXPECT_EQ(Abort(0, 1, kLimit + 1), "nothing");
  EXPECT_EQ(Whole(0, 2, "x"), "message 2 x");
}

TEST_F(ReassemblerTest, TheEnvelopeDoesNotCountAgainstTheLimit) {
  FrameHeader header = Frame(0, 1, kFirst | kLast | kEnvelope, kLimit + 5, kLimit + 5);
  header.envelope_size = 5;
  const std::string bytes(kLimit + 5, 'x');
  EXPECT_EQ(Receive(header, bytes), "message 1 " + bytes);
  header.envelope_size = 4;
  EXPECT_EQ(Receive(header, bytes), "too large 1");
}

// --- giving up ---

TEST_F(ReassemblerTest, AnAbortedMessageIsForgotten) {
  EXPECT_EQ(First(0, 1, "abc", 8), "nothing");
  EXPECT_EQ(Abort(0, 1, 8), "aborted 1");
  EXPECT_EQ(reassembler_.bytes_held(), 0u);
  EXPECT_EQ(First(0, 2, "ab", 3), "nothing");
  EXPECT_EQ(Last(0, 2, "c", 3), "message 2 abc");
}

// --- violations ---

TEST_F(ReassemblerTest, RejectsMiddleWithoutFirst) {
  EXPECT_THAT(Middle(2, 7, "abc", 8), AllOf(HasSubstr("lane 2"), HasSubstr("call 7"), HasSubstr("not begun")));
}

TEST_F(ReassemblerTest, RejectsLastWithoutFirst) {
  EXPECT_THAT(Last(0, 1, "abc", 8), HasSubstr("not begun"));
}

TEST_F(ReassemblerTest, RejectsAbortWithoutFirst) {
  EXPECT_THAT(Abort(0, 1, 8), HasSubstr("not begun"));
}

TEST_F(ReassemblerTest, RejectsASecondEndOfAMessage) {
  First(0, 1, "abc", 6);
  Last(0, 1, "def", 6);
  EXPECT_THAT(Last(0, 1, "def", 6), HasSubstr("not begun"));
}

TEST_F(ReassemblerTest, RejectsASecondPartialMessageInALane) {
  First(1, 1, "abc", 8);
  EXPECT_THAT(First(1, 2, "abc", 8), AllOf(HasSubstr("lane 1"), HasSubstr("call 2"), HasSubstr("has ended")));
}

TEST_F(ReassemblerTest, RejectsTheFragmentOfAnotherLane) {
  First(1, 1, "abc", 8);
  EXPECT_THAT(Last(2, 1, "defgh", 8), HasSubstr("not begun"));
}

TEST_F(ReassemblerTest, RejectsMoreThanAnnounced) {
  First(0, 1, "abc", 8);
  Middle(0, 1, "def", 8);
  EXPECT_THAT(Middle(0, 1, "ghi", 8), HasSubstr("brings 3 B where 2 B are missing"));
  EXPECT_FALSE(copied_);
}

TEST_F(ReassemblerTest, RejectsMoreThanAnnouncedAtTheEnd) {
  First(0, 1, "abc", 8);
  EXPECT_THAT(Last(0, 1, "defghi", 8), HasSubstr("brings 6 B where 5 B are missing"));
  EXPECT_FALSE(copied_);
}

TEST_F(ReassemblerTest, RejectsLessThanAnnouncedAtTheEnd) {
  First(0, 1, "abc", 8);
  EXPECT_THAT(Last(0, 1, "def", 8), HasSubstr("last frame brings 3 B where 5 B are missing"));
}

TEST_F(ReassemblerTest, RejectsAllOfItWithoutSayingThatItIsTheLast) {
  First(0, 1, "abc", 8);
  EXPECT_THAT(Middle(0, 1, "defgh", 8), HasSubstr("brings 5 B where 5 B are missing"));
}

TEST_F(ReassemblerTest, RejectsFragmentsThatDisagreeWithTheFirst) {
  const std::vector<void (*)(FrameHeader&)> changes = {
      [](FrameHeader& h) { h.kind = FrameKind::kRequest; },
      [](FrameHeader& h) { h.flags |= kOneWay; },
      [](FrameHeader& h) { h.call_id = 2; },
      [](FrameHeader& h) { h.method_id = 2; },
      [](FrameHeader& h) { h.source_id = 2; },
      [](FrameHeader& h) { h.status = 2; },
      [](FrameHeader& h) { h.time_left_ns = 2; },
      [](FrameHeader& h) { h.message_size = 9; },
      [](FrameHeader& h) { h.envelope_size = 2; },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    reassembler_ = Reassembler(kLimit);
    First(0, 1, "abc", 8);
    FrameHeader next = Frame(0, 1, 0, 2, 8);
    changes[i](next);
    EXPECT_THAT(Receive(next, "de"), HasSubstr("differs from its first frame")) << i;
    EXPECT_FALSE(copied_);
  }
}

TEST_F(ReassemblerTest, RejectsAnAbortOfAnotherCall) {
  First(0, 1, "abc", 8);
  EXPECT_THAT(Abort(0, 2, 8), HasSubstr("differs"));
}

// --- memory ---

TEST_F(ReassemblerTest, WarmWholeMessagesAllocateNothing) {
  Whole(0, 1, "abcdefgh");
  const std::byte* warm = message_.bytes.data();
  for (const absl::string_view payload : {"abc", "", "abcdefgh", "x"}) {
    Whole(1, 2, payload);
    EXPECT_EQ(message_.bytes.data(), warm);
    EXPECT_EQ(message_.bytes.capacity(), 8u);
  }
}

TEST_F(ReassemblerTest, AFragmentedMessageTakesAndGivesBackAWarmBuffer) {
  message_.bytes.Resize(kLimit);
  const std::byte* warm = message_.bytes.data();
  First(0, 1, "abc", 6);
  EXPECT_EQ(reassembler_.bytes_held(), kLimit);
  EXPECT_EQ(Last(0, 1, "def", 6), "message 1 abcdef");
  EXPECT_EQ(message_.bytes.data(), warm);
  EXPECT_EQ(reassembler_.bytes_held(), 0u);
}

TEST_F(ReassemblerTest, ASmallWarmBufferStaysWithTheCaller) {
  Whole(0, 1, "abc");
  const std::byte* warm = message_.bytes.data();
  First(0, 2, "abc", 6);
  EXPECT_EQ(message_.bytes.data(), warm);
  EXPECT_EQ(reassembler_.bytes_held(), 6u);
}

int64_t ResidentBytes() {
  int64_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

TEST_F(ReassemblerTest, BytesThatAreOnlyAnnouncedCostNoMemory) {
  constexpr size_t kAnnounced = size_t{64} << 20;
  reassembler_ = Reassembler(kAnnounced);
  const int64_t before = ResidentBytes();
  for (int lane = 0; lane < base::kLanes; ++lane) EXPECT_EQ(First(lane, 1, "x", kAnnounced), "nothing");
  EXPECT_EQ(reassembler_.bytes_held(), 4 * kAnnounced);
  EXPECT_LT(ResidentBytes() - before, int64_t{kAnnounced});  // ASan's shadow takes an eighth of it
}

TEST_F(ReassemblerTest, WithoutMemoryTheMessageIsDroppedAndTold) {
  if (testing::kSanitizers) GTEST_SKIP() << "a sanitizer needs address space without limit";
  const auto receive = [&] {
    constexpr size_t kAnnounced = size_t{1} << 30;
    reassembler_ = Reassembler(kAnnounced);
    const rlimit limit = {.rlim_cur = size_t{256} << 20, .rlim_max = size_t{256} << 20};
    ::setrlimit(RLIMIT_AS, &limit);
    const bool told = First(0, 1, "abc", kAnnounced) == "no memory 1" && !copied_;
    const bool dropped = Abort(0, 1, kAnnounced) == "nothing" && Whole(0, 2, "x") == "message 2 x";
    ::_exit(told && dropped ? 0 : 1);
  };
  EXPECT_EXIT(receive(), ::testing::ExitedWithCode(0), "");
}

// --- who pays ---

class ReassemblerQuotaTest : public ::testing::Test {
 protected:
  Reassembler::Result Receive(int lane, int flags, size_t payload_size, size_t message_size) {
    const FrameHeader header{.kind = FrameKind::kMessage,
                             .flags = static_cast<uint8_t>(flags),
                             .priority = static_cast<uint8_t>(lane),
                             .payload_size = static_cast<uint32_t>(payload_size),
                             .call_id = 1,
                             .message_size = static_cast<uint32_t>(message_size)};
    return *reassembler_.Receive(header, message_,
                                 [](std::span<std::byte> to) { std::memset(to.data(), 0, to.size()); });
  }
  // A message of so many bytes would be the last one.
  static constexpr size_t kBytes = 10 * (base::kCallCost + kLimit);
  size_t held() const { return account_->memory.taken().bytes(); }

  std::shared_ptr<base::Account> account_ =
      std::make_shared<base::Quota>(base::Quota::Totals{.calls = 4, .bytes = kBytes}, std::vector<uid_t>(), 0)
          ->AccountOf(0);
  Reassembler reassembler_{kLimit, &account_->memory};
  Message message_;
};

TEST_F(ReassemblerQuotaTest, AWholeMessageIsPaidForUntilItsChargeIsReleased) {
  EXPECT_EQ(Receive(0, kFirst | kLast, 10, 10), Reassembler::Result::kMessage);
  EXPECT_EQ(held(), 10 + base::kCallCost);
  const base::Charge taken = std::move(message_.charge);
  EXPECT_EQ(Receive(0, kFirst | kLast, 5, 5), Reassembler::Result::kMessage);
  EXPECT_EQ(held(), 15 + 2 * base::kCallCost);
  message_.charge.Release();
  EXPECT_EQ(held(), 10 + base::kCallCost);
}

TEST_F(ReassemblerQuotaTest, APartialMessageIsPaidForInFullFromItsFirstFrameOn) {
  EXPECT_EQ(Receive(0, kFirst, 4, kLimit), Reassembler::Result::kNothing);
  EXPECT_EQ(held(), kLimit + base::kCallCost);
  EXPECT_EQ(Receive(0, kLast, kLimit - 4, kLimit), Reassembler::Result::kMessage);
  EXPECT_EQ(held(), kLimit + base::kCallCost);
  message_.charge.Release();
  EXPECT_EQ(held(), 0u);
}

TEST_F(ReassemblerQuotaTest, WhatIsOverTheQuotaIsToldOnceAndDropped) {
  for (int lane = 0; lane < 3; ++lane) EXPECT_EQ(Receive(lane, kFirst, 4, kLimit), Reassembler::Result::kNothing);
  const base::Charge other = [this] {
    base::Charge charge;
    EXPECT_TRUE(charge.TryTake(&account_->memory, base::Amount::Of(1)));
    return charge;
  }();
  EXPECT_EQ(Receive(3, kFirst, 4, kLimit), Reassembler::Result::kOverQuota);
  EXPECT_EQ(Receive(0, kFirst | kLast, 1, 1), Reassembler::Result::kOverQuota);
  EXPECT_EQ(Receive(3, kLast, kLimit - 4, kLimit), Reassembler::Result::kNothing);
  EXPECT_EQ(account_->memory.taken().count(), 4u);
}

TEST_F(ReassemblerQuotaTest, AnAbortedMessageAndOneThatIsNeverFinishedAreGivenBack) {
  EXPECT_EQ(Receive(0, kFirst, 4, kLimit), Reassembler::Result::kNothing);
  EXPECT_EQ(Receive(0, kLast | kAborted, 0, kLimit), Reassembler::Result::kAborted);
  EXPECT_EQ(held(), 0u);
  {
    Reassembler dies(kLimit, &account_->memory);
    const FrameHeader header{
        .kind = FrameKind::kMessage, .flags = kFirst, .payload_size = 4, .call_id = 1, .message_size = kLimit};
    EXPECT_TRUE(dies.Receive(header, message_, [](std::span<std::byte>) {}).ok());
    EXPECT_EQ(held(), kLimit + base::kCallCost);
  }
  EXPECT_EQ(held(), 0u);
}

}  // namespace
}  // namespace nearcall::wire
