// SPDX-License-Identifier: Apache-2.0

// Clients that pass what is no memory, or not theirs to write to no more, and say what cannot be of it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "file_service.h"
#include "picture_service.h"
#include "raw_peer.h"
#include "wire/attachments.h"

namespace nearcall::integration {
namespace {

using absl::StatusCode;
using Way = wire::Attachments::Way;

constexpr int kAllSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

UniqueFd Memory(size_t size, int seals, bool reserve = true) {
  UniqueFd memory(::memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(memory.get(), static_cast<off_t>(size)), 0);
  EXPECT_EQ(reserve ? ::fallocate(memory.get(), 0, 0, static_cast<off_t>(size)) : 0, 0);
  EXPECT_EQ(::fcntl(memory.get(), F_ADD_SEALS, seals), 0);
  return memory;
}

class HostileAttachmentsTest : public AttachmentsTest {
 protected:
  static RawClient Hostile() {
    return RawClient(Address(),
                     {.max_message_size = 1 << 20,
                      .max_calls_in_flight = 16,
                      .max_descriptors = 16,
                      .max_attachments = 16,
                      .max_attachment_bytes = 1 << 30},
                     transport::Transports(), transport::kDescriptors);
  }

  // The first request of `client`: with a table of `entries` (of `size` bytes) and with `fds`.
  static void Send(RawClient& client, const std::vector<uint64_t>& entries, const std::vector<int>& fds,
                   size_t count = 0) {
    if (!fds.empty()) {
      const auto descriptors = static_cast<uint8_t>(fds.size());
      EXPECT_TRUE(
          client.connection().side_socket->Send({.lane = 1, .count = descriptors, .sequence = 1, .call_id = 1}, fds));
    }
    const auto table = std::as_bytes(std::span(entries));
    wire::FrameHeader header = client.Header(wire::FrameKind::kRequest, table.size());
    header.method_id = internal::MethodId("nearcall.integration.Pictures/Invert");
    header.fd_count = static_cast<uint8_t>(fds.size());
    header.attachment_count = static_cast<uint8_t>(count == 0 ? entries.size() : count);
    std::vector<std::byte> frame(wire::kHeaderSize);
    wire::EncodeHeader(header, frame);
    frame.insert(frame.end(), table.begin(), table.end());
    client.Send(frame);
  }

  // The call alone ends, and nothing of what came stays.
  void ExpectRefused(const UniqueFd& memory, size_t size, Way way = Way::kPassed) {
    RawClient hostile = Hostile();
    const size_t before = OpenDescriptors();
    Send(hostile, {wire::EncodeAttachment(size, way)}, {memory.get()});
    EXPECT_EQ(hostile.Receive().status, static_cast<uint8_t>(StatusCode::kInternal));
    EXPECT_TRUE(Eventually([&] { return OpenDescriptors() <= before; }));
    EXPECT_TRUE(Eventually([] { return MappedPictures() == 0; }));  // of others before, too
    ExpectOthersServed();
  }
  void ExpectThrownOut(const std::vector<uint64_t>& entries, const std::vector<int>& fds, const std::string& part,
                       size_t count = 0) {
    RawClient hostile = Hostile();
    Send(hostile, entries, fds, count);
    EXPECT_TRUE(HangsUp(hostile.control()));
    EXPECT_TRUE(Eventually([&] { return log.Has(part); })) << part << "; " << absl::StrJoin(log.lines(), "\n");
    ExpectOthersServed();
  }
  void ExpectOthersServed() {
    EXPECT_EQ(Must(ConnectPictures().Invert(MakeBlob("x"), Attaching({Picture(kLarge, 1)}))).data(), "1:307200");
  }
};

TEST_F(HostileAttachmentsTest, SealedMemoryIsServed) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  RawClient client = Hostile();
  const UniqueFd memory = Memory(kLarge, kAllSeals);
  Send(client, {wire::EncodeAttachment(kLarge, Way::kPassed)}, {memory.get()});
  const wire::FrameHeader reply = client.Receive();
  EXPECT_EQ(reply.status, 0);
  EXPECT_EQ(reply.attachment_count, 1);
  EXPECT_EQ(reply.fd_count, 1);
}

TEST_F(HostileAttachmentsTest, MemoryThatIsNotWhatItShouldBe) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  for (const int missing : {F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE}) {
    ExpectRefused(Memory(kLarge, kAllSeals & ~missing), kLarge);
  }
  ExpectRefused(Memory(kLarge, kAllSeals), kLarge + 4096);
  ExpectRefused(Memory(kLarge, kAllSeals, /*reserve=*/false), kLarge);
  ExpectRefused(UniqueFd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)), kLarge);
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd other(ends[1]);
  ExpectRefused(UniqueFd(ends[0]), kLarge);
}

TEST_F(HostileAttachmentsTest, TablesThatCannotBe) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer(Taking(kLarge));
  const UniqueFd memory = Memory(kLarge, kAllSeals);
  const uint64_t passed = wire::EncodeAttachment(kLarge, Way::kPassed);
  ExpectThrownOut({passed}, {}, "1 are passed with 0 descriptors");
  ExpectThrownOut({passed, passed}, {memory.get(), memory.get()}, "614400 B are passed, granted were 307200 B");
  ExpectThrownOut({passed}, {memory.get(), memory.get()}, "beside them there are 1 descriptors, granted were 0");
  ExpectThrownOut({passed}, {memory.get()}, "their table is larger than the message", 2);
  ExpectThrownOut({wire::EncodeAttachment(100, Way::kCopied)}, {}, "100 B are copied in a message of 8 B");
  // A million of these would be a million mappings.
  ExpectThrownOut({wire::EncodeAttachment(1, Way::kPassed)}, {memory.get()},
                  "one of 1 B is passed, expected at least 65536");
}

// Who is trusted not to write is trusted with nothing else.
TEST_F(HostileAttachmentsTest, LentMemoryThatIsNotWhatItShouldBe) {
  NEEDS_DESCRIPTORS();
  constexpr int kLentSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE;
  ServerOptions options = Taking(kLarge);
  options.trust_sender = true;
  const auto server = StartServer(options);
  for (const int missing : {F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE}) {
    ExpectRefused(Memory(kLarge, kLentSeals & ~missing), kLarge, Way::kLent);
  }
  ExpectRefused(Memory(kLarge - 4096, kLentSeals), kLarge, Way::kLent);
  ExpectRefused(UniqueFd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)), kLarge, Way::kLent);
  const UniqueFd memory = Memory(kLarge, kLentSeals);
  const uint64_t lent = wire::EncodeAttachment(kLarge, Way::kLent);
  ExpectThrownOut({lent}, {}, "1 are passed with 0 descriptors");
  ExpectThrownOut({lent, lent}, {memory.get(), memory.get()}, "614400 B are passed, granted were 307200 B");
  ExpectThrownOut({wire::EncodeAttachment(1, Way::kLent)}, {memory.get()}, "expected at least 65536");
  RawClient client = Hostile();
  Send(client, {lent}, {memory.get()});
  EXPECT_EQ(client.Receive().status, 0) << "without a lock it is the sender's own fault if he writes";
}

TEST_F(HostileAttachmentsTest, WhoIsNotTrustedLendsNothing) {
  NEEDS_DESCRIPTORS();
  const auto server = StartServer();
  const UniqueFd memory = Memory(kLarge, kAllSeals);
  ExpectThrownOut({wire::EncodeAttachment(kLarge, Way::kLent)}, {memory.get()}, "one is lent, which was not granted");
}

TEST_F(HostileAttachmentsTest, WhereNoMemoryWasGranted) {
  NEEDS_DESCRIPTORS();
  ServerOptions options;
  options.passes_attachments = true;
  const auto server = StartServer(options);
  const UniqueFd memory = Memory(kLarge, kAllSeals);
  ExpectThrownOut({wire::EncodeAttachment(kLarge, Way::kPassed)}, {memory.get()}, "it announces 1, granted were 0");
}

// Each small one that a handler keeps is paid for with more than its bytes.
TEST_F(HostileAttachmentsTest, AMillionSmallOnes) {
  std::vector<Buffer> kept;
  pictures.invert = [&](ServerContext& context, const Blob&, Blob&) {
    kept.insert(kept.end(), context.attachments().begin(), context.attachments().end());
    return absl::OkStatus();
  };
  ServerOptions options = Taking();
  options.max_message_size = 100'000;
  options.max_total_bytes = 500'000;
  const auto server = StartServer(options);
  const Pictures::Stub stub = ConnectPictures();
  const std::vector<Buffer> sixteen(16, Picture(1, 1));
  absl::Status status;
  for (int i = 0; status.ok() && i < 1'000'000 / 16; ++i)
    status = stub.Invert(MakeBlob(""), Attaching(sixteen)).status();
  EXPECT_THAT(status, FailsWith(StatusCode::kResourceExhausted, "max_total_bytes"));
  EXPECT_LE(kept.size(), 2000u);
  kept.clear();
}

}  // namespace
}  // namespace nearcall::integration
