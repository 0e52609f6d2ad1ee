// SPDX-License-Identifier: Apache-2.0
#include "transport/sysv/queue.h"

#include <sys/msg.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/syscall.h"
#include "transport/sysctl.h"

namespace nearcall::transport::sysv {

namespace {

constexpr int kMode = 0600;
constexpr int kModeBits = 0777;

std::string LimitText() {
  const std::optional<size_t> limit = ReadSysctl("kernel/msgmni");
  return limit ? absl::StrCat("kernel.msgmni is ", *limit) : "kernel.msgmni is reached";
}

absl::Status CreationError(int error) {
  constexpr absl::string_view kWhat = "sysv: cannot create a queue";
  switch (error) {
    case EEXIST:
      return absl::AlreadyExistsError("sysv: there is a queue of that key");
    case ENOSPC:
      return absl::ResourceExhaustedError(
          absl::StrCat(kWhat, ": ", LimitText(),
                       ", for all programs of all users together; see who has them (ipcs -q), "
                       "raise it (sysctl kernel.msgmni), or use shm:"));
    case ENOSYS:
    case EACCES:
    case EPERM:
      return absl::UnavailableError(absl::StrCat(
          kWhat, ": ", error == ENOSYS ? "this kernel has no System V queues" : "it is forbidden by the system",
          "; use shm:"));
    default:
      return base::ErrnoStatus(error, kWhat);
  }
}

// Who has made it keeps his rights.
absl::Status GiveTo(QueueId queue, uid_t peer) {
  msqid_ds state{};
  if (::msgctl(queue, IPC_STAT, &state) != 0) return base::ErrnoStatus("sysv: cannot look at a new queue");
  if (state.msg_perm.uid == peer) return absl::OkStatus();
  state.msg_perm.uid = peer;
  if (::msgctl(queue, IPC_SET, &state) == 0) return absl::OkStatus();
  return base::ErrnoStatus(absl::StrCat("sysv: cannot give a queue to uid ", peer));
}

}  // namespace

absl::StatusOr<QueueId> CreateQueue(key_t key, uid_t peer) {
  const QueueId queue = ::msgget(key, IPC_CREAT | IPC_EXCL | kMode);
  if (queue == kNoQueue) return CreationError(errno);
  absl::Status given = GiveTo(queue, peer);
  if (given.ok()) return queue;
  RemoveQueue(queue);
  return given;
}

QueueId FindOwnQueue(key_t key) {
  const QueueId queue = ::msgget(key, 0);
  msqid_ds state{};
  if (queue == kNoQueue || ::msgctl(queue, IPC_STAT, &state) != 0) return kNoQueue;
  return state.msg_perm.cuid == ::geteuid() ? queue : kNoQueue;
}

absl::Status VerifyQueue(QueueId queue, const PeerIdentity& server) {
  msqid_ds state{};
  if (::msgctl(queue, IPC_STAT, &state) != 0) {
    if (!IsGone(errno)) {
      return absl::InternalError(absl::StrCat("sysv: the server broke the protocol: expected a queue of this user's, ",
                                              queue, " cannot be used: ", base::ErrnoStatus("msgctl").message()));
    }
    return absl::UnavailableError(
        absl::StrCat("sysv: the queue ", queue, ", which the server has made, is gone; so is the server, perhaps"));
  }
  const ipc_perm& perm = state.msg_perm;
  if (perm.cuid == server.uid && perm.uid == ::geteuid() && (perm.mode & kModeBits) == kMode) return absl::OkStatus();
  return absl::InternalError(absl::StrFormat(
      "sysv: the server broke the protocol: expected a queue made by uid %d for uid %d of mode 0600, queue %d was "
      "made by uid %d for uid %d of mode %04o",
      server.uid, ::geteuid(), queue, perm.cuid, perm.uid, perm.mode & kModeBits));
}

std::optional<QueueLevel> LevelOf(QueueId queue) {
  msqid_ds state{};
  if (::msgctl(queue, IPC_STAT, &state) != 0) return std::nullopt;
  return QueueLevel{.messages = state.msg_qnum, .bytes = state.__msg_cbytes, .capacity_bytes = state.msg_qbytes};
}

bool IsGone(int error) {
  return error == EIDRM || error == EINVAL;
}

void RemoveQueue(QueueId queue) {
  if (queue != kNoQueue) ::msgctl(queue, IPC_RMID, nullptr);
}

}  // namespace nearcall::transport::sysv
