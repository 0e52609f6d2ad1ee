// SPDX-License-Identifier: Apache-2.0
#include "transport/mq/queue.h"

#include <fcntl.h>
#include <mqueue.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <iterator>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/proc_path.h"
#include "base/syscall.h"
#include "transport/mq/queue_error.h"

namespace nearcall::transport::mq {

namespace {

constexpr int kTriesForOwnName = 16;

// A process that is killed between making a queue and taking its name away leaves the name behind, and the queue with
// it, which counts against the user's limit. So the processes of one user have one name for all: whoever makes the next
// queue takes away what was left. It is harmless to take the name from a live process that has just made a queue: it
// has the descriptor, and no further use for the name.
std::string OwnName() {
  return absl::StrCat("/nearcall-", ::geteuid());
}

// Where another user sits on that name.
std::string RandomName() {
  std::array<char, 16> random{};
  base::Retry([&] { return ::getrandom(random.data(), random.size(), 0); });
  return absl::StrCat(OwnName(), "-", absl::BytesToHexString(absl::string_view(random.data(), random.size())));
}

base::Fd MakeUnder(const std::string& name, const QueueSize& size) {
  mq_attr attributes{};
  attributes.mq_maxmsg = static_cast<long>(size.max_messages);
  attributes.mq_msgsize = static_cast<long>(size.message_size);
  ::mq_unlink(name.c_str());
  base::Fd read_end(base::Retry(
      [&] { return ::mq_open(name.c_str(), O_CREAT | O_EXCL | O_RDONLY | O_NONBLOCK, mode_t{0600}, &attributes); }));
  const int error = errno;
  if (read_end.valid()) ::mq_unlink(name.c_str());
  errno = error;
  return read_end;
}

base::Fd MakeReadEnd(const QueueSize& size) {
  for (int i = 0; i < kTriesForOwnName; ++i) {
    base::Fd read_end = MakeUnder(OwnName(), size);
    // Another process may have made its queue just between our two steps.
    if (read_end.valid() || errno != EEXIST) return read_end;
  }
  return MakeUnder(RandomName(), size);
}

// An open of its own, for a file description of its own. Not by the name, which may be another queue's by now.
base::Fd OpenWriteEnd(const base::Fd& read_end) {
  // The umask may have taken our own right to write.
  if (::fchmod(read_end.get(), 0600) != 0) return {};
  const std::string path = base::ProcPath(read_end);
  return base::Fd(base::Retry([&] { return ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC); }));
}

absl::Status Violation(QueueEnd end, absl::string_view expected, absl::string_view came) {
  return absl::InternalError(absl::StrCat("mq: the server broke the protocol: the queue to ",
                                          end == QueueEnd::kRead ? "read from" : "write to", ": expected ", expected,
                                          ", it sent ", came));
}

absl::string_view AccessModeText(int flags) {
  switch (flags & O_ACCMODE) {
    case O_RDONLY:
      return "O_RDONLY";
    case O_WRONLY:
      return "O_WRONLY";
    default:
      return "O_RDWR";
  }
}

std::string SizeText(long messages, long message_size) {
  return absl::StrCat(messages, " x ", message_size, " B");
}

}  // namespace

absl::StatusOr<Queue> CreateQueue(const QueueSize& size) {
  Queue queue;
  queue.read_end = MakeReadEnd(size);
  if (!queue.read_end.valid()) return CreationError(errno, size);
  queue.write_end = OpenWriteEnd(queue.read_end);
  if (!queue.write_end.valid()) return CreationError(errno, size);
  return queue;
}

absl::Status VerifyQueueEnd(const base::Fd& fd, QueueEnd end, const QueueSize& size) {
  mq_attr attributes{};
  if (::mq_getattr(fd.get(), &attributes) != 0) return Violation(end, "a message queue", "another kind of descriptor");
  const int flags = ::fcntl(fd.get(), F_GETFL);
  const int wanted = end == QueueEnd::kRead ? O_RDONLY : O_WRONLY;
  if ((flags & O_ACCMODE) != wanted) return Violation(end, AccessModeText(wanted), AccessModeText(flags));
  if ((flags & O_NONBLOCK) == 0) return Violation(end, "O_NONBLOCK", "one that blocks");
  const auto messages = static_cast<long>(size.max_messages);
  const auto message_size = static_cast<long>(size.message_size);
  if (attributes.mq_maxmsg != messages || attributes.mq_msgsize != message_size) {
    return Violation(end, SizeText(messages, message_size), SizeText(attributes.mq_maxmsg, attributes.mq_msgsize));
  }
  return absl::OkStatus();
}

std::optional<size_t> MessagesIn(const base::Fd& fd) {
  mq_attr attributes{};
  if (::mq_getattr(fd.get(), &attributes) != 0) return std::nullopt;
  return static_cast<size_t>(attributes.mq_curmsgs);
}

}  // namespace nearcall::transport::mq
