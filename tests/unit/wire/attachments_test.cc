// SPDX-License-Identifier: Apache-2.0
#include "wire/attachments.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/lent_blocks.h"
#include "base/limits.h"
#include "wire/reassembler.h"

namespace nearcall::wire {
namespace {

using ::testing::HasSubstr;

using Way = Attachments::Way;

constexpr size_t kPassed = base::kMinPassed;

std::string TextOf(std::span<const std::byte> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

class AttachmentsTest : public ::testing::Test {
 protected:
  // A message of `envelope`, `payload` and `copied`, with a table of `entries` and so many descriptors.
  void Make(const std::string& envelope, const std::string& payload, const std::string& copied,
            const std::vector<uint64_t>& entries, size_t descriptors = 0) {
    std::string all = envelope + payload + copied;
    all.append(reinterpret_cast<const char*>(entries.data()), entries.size() * sizeof(uint64_t));
    message_.header.envelope_size = static_cast<uint32_t>(envelope.size());
    message_.header.attachment_count = static_cast<uint8_t>(entries.size());
    message_.header.fd_count = static_cast<uint8_t>(descriptors);
    message_.header.call_id = 77;
    message_.bytes.Resize(all.size());
    std::memcpy(message_.bytes.data(), all.data(), all.size());
    std::vector<base::Fd> fds;
    for (size_t i = 0; i < descriptors; ++i) fds.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    message_.descriptors = base::Descriptors::Own(fds, nullptr);
  }

  void ExpectViolation(absl::string_view part) {
    const absl::Status found = FindAttachments(message_, terms_);
    EXPECT_TRUE(absl::IsInternal(found)) << found;
    EXPECT_THAT(found.message(), HasSubstr(part));
    EXPECT_THAT(found.message(), HasSubstr("of call 77"));
    EXPECT_TRUE(message_.attachments.empty());
  }

  AttachmentTerms terms_{.max_passed = 3 * kPassed, .max_descriptors = 2};
  Message message_;
};

TEST_F(AttachmentsTest, CopiesStandBehindThePayload) {
  Make("env", "payload", "abcde",
       {EncodeAttachment(2, Way::kCopied), EncodeAttachment(0, Way::kCopied), EncodeAttachment(3, Way::kCopied)});
  ASSERT_TRUE(FindAttachments(message_, terms_).ok());
  EXPECT_EQ(TextOf(message_.envelope()), "env");
  EXPECT_EQ(TextOf(message_.payload()), "payload");
  EXPECT_EQ(TextOf(message_.tail().first(5)), "abcde");
  EXPECT_EQ(message_.attachments.total(), 5u);
  EXPECT_EQ(message_.attachments.found().list.size(), 3u);
}

TEST_F(AttachmentsTest, TheLastDescriptorsAreOfThosePassed) {
  Make("", "p", "ab",
       {EncodeAttachment(kPassed, Way::kPassed), EncodeAttachment(2, Way::kCopied),
        EncodeAttachment(2 * kPassed, Way::kPassed)},
       4);
  const std::vector<int> all(message_.descriptors.fds().begin(), message_.descriptors.fds().end());
  ASSERT_TRUE(FindAttachments(message_, terms_).ok());
  Attachments::Found& found = message_.attachments.found();
  EXPECT_THAT(message_.descriptors.fds(), ::testing::ElementsAre(all[0], all[1]));
  EXPECT_THAT(found.memory.fds(), ::testing::ElementsAre(all[2], all[3]));
  EXPECT_EQ(message_.attachments.total(), 3 * kPassed + 2);
  EXPECT_EQ(TextOf(message_.payload()), "p");
}

TEST_F(AttachmentsTest, NothingElseIsTaken) {
  Make("env", "p", "", {EncodeAttachment(2, Way::kCopied)});
  ExpectViolation("2 B are copied in a message of 9 B");
  Make("env", "", "", {});
  message_.header.attachment_count = 1;
  ExpectViolation("their table is larger than the message");
  Make("", "", "", {EncodeAttachment(kPassed, Way::kPassed)}, 0);
  ExpectViolation("1 are passed with 0 descriptors");
  Make("", "", "", {EncodeAttachment(kPassed, Way::kPassed)}, 4);
  ExpectViolation("beside them there are 3 descriptors, granted were 2");
}

TEST_F(AttachmentsTest, NotMoreThanWasGranted) {
  Make("", "", "", {EncodeAttachment(2 * kPassed, Way::kPassed), EncodeAttachment(kPassed + 1, Way::kPassed)}, 2);
  ExpectViolation("196609 B are passed, granted were 196608 B");
  terms_.max_passed = 0;
  Make("", "", "", {EncodeAttachment(kPassed, Way::kPassed)}, 1);
  ExpectViolation("granted were 0 B");
}

TEST_F(AttachmentsTest, OnlyWhoIsTrustedLendsSome) {
  Make("", "", "", {EncodeAttachment(kPassed, Way::kLent)}, 1);
  ExpectViolation("one is lent, which was not granted");
  terms_.lent = std::make_shared<base::LentBlocks>(nullptr);
  Make("", "", "", {EncodeAttachment(kPassed, Way::kLent), EncodeAttachment(kPassed, Way::kPassed)}, 2);
  ASSERT_TRUE(FindAttachments(message_, terms_).ok());
  const Attachments::Found& found = message_.attachments.found();
  EXPECT_EQ(found.list[0].way, Way::kLent);
  EXPECT_EQ(found.list[1].way, Way::kPassed);
  EXPECT_EQ(found.memory.fds().size(), 2u);
  message_.attachments.Clear();
  Make("", "", "", {EncodeAttachment(kPassed - 1, Way::kLent)}, 1);
  ExpectViolation("expected at least 65536");
  Make("", "", "", {EncodeAttachment(4 * kPassed, Way::kLent)}, 1);
  ExpectViolation("granted were 196608 B");
}

// So that mappings are not cheap for who sends them.
TEST_F(AttachmentsTest, NoSmallOneIsPassed) {
  Make("", "", "", {EncodeAttachment(kPassed - 1, Way::kPassed)}, 1);
  ExpectViolation("one of 65535 B is passed, expected at least 65536");
}

TEST_F(AttachmentsTest, NoSizeIsSoLargeThatSumsGoWrong) {
  terms_.lent = std::make_shared<base::LentBlocks>(nullptr);
  for (const Way way : {Way::kCopied, Way::kPassed, Way::kLent}) {
    const std::vector<uint64_t> huge(16, EncodeAttachment((size_t{1} << 62) - 1, way));
    Make("", "", "", huge, way == Way::kCopied ? 0 : 16);
    ExpectViolation("one of 4611686018427387903 B");
  }
}

// What could not be taken is told with the descriptors.
TEST_F(AttachmentsTest, RefusedDescriptorsStayRefused) {
  Make("", "p", "", {EncodeAttachment(kPassed, Way::kPassed)}, 1);
  message_.descriptors = base::Descriptors::Refused("why");
  ASSERT_TRUE(FindAttachments(message_, terms_).ok());
  EXPECT_FALSE(message_.descriptors.refusal().ok());
  EXPECT_TRUE(message_.attachments.found().memory.empty());
}

}  // namespace
}  // namespace nearcall::wire
