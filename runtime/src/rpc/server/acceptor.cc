// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/acceptor.h"

#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/log.h"
#include "base/no_memory.h"
#include "base/syscall.h"
#include "transport/rendezvous.h"

namespace nearcall::rpc {

namespace {

// Clients taken from one listening socket before those who are on their way, and other sockets, have their turn.
constexpr int kAcceptsPerTurn = 16;

// Until the next try to take clients, when there are no descriptors or is no memory: nobody tells when it can succeed.
constexpr absl::Duration kPause = absl::Milliseconds(10);

}  // namespace

absl::Status Acceptor::Open(int any) {
  reserve_of_ = any;
  reserve_ = base::Duplicate(reserve_of_);
  if (!reserve_.valid()) return base::ErrnoStatus("cannot start a server (a descriptor in reserve)");
  return absl::OkStatus();
}

void Acceptor::TakeTurn() {
  const size_t sockets = sockets_.count();
  for (size_t index = 0; index < sockets; ++index) {
    for (int i = 0; i < kAcceptsPerTurn && AcceptOne(index); ++i) {
    }
  }
}

// False: nobody waits any more, or nobody can be let in now.
bool Acceptor::AcceptOne(size_t index) {
  if (base::NowNs() < MayAcceptAt()) return false;
  Accepted accepted = sockets_.Accept(index);
  if (accepted.somebody()) {
    in_trouble_ = false;
    Begin(std::move(accepted), absl::OkStatus());
    return true;
  }
  if (accepted.error == EMFILE || accepted.error == ENFILE) return AcceptWithoutDescriptors(index, accepted.error);
  if (accepted.error == ECONNABORTED) return true;
  CannotAccept(index, accepted);
  return false;
}

// No descriptor is left: the one kept for this case serves to tell the client so.
bool Acceptor::AcceptWithoutDescriptors(size_t index, int error) {
  const absl::Status refusal = base::ErrnoStatus(error, "the server cannot take another client");
  reserve_.Reset();
  Accepted accepted = sockets_.Accept(index);
  const bool taken = accepted.somebody();
  if (taken) {
    Begin(std::move(accepted), refusal);
  } else {
    CannotAccept(index, accepted);
  }
  // While the refused client has not spoken yet its socket stands where the reserve did; there is one again with the
  // next.
  reserve_ = base::Duplicate(reserve_of_);
  return taken;
}

void Acceptor::Begin(Accepted accepted, const absl::Status& refusal) {
  const auto at = core_.options.allow_successor ? std::move(accepted.listener) : nullptr;
  const absl::Status begun = base::OrNoMemory(
      [&] { return handshakes_.Begin(std::move(accepted.newcomer), *accepted.transports, refusal, at); });
  if (!begun.ok()) core_.logger->Log({base::LogKind::kConnection}, LogSeverity::kWarning, begun.message());
}

void Acceptor::CannotAccept(size_t index, const Accepted& failed) {
  if (failed.error == EAGAIN) return;
  if (!failed.failed_for_good()) pause_until_ = base::AfterNow(kPause);
  if (std::exchange(in_trouble_, true)) return;
  const std::optional<std::string> name = sockets_.NameOf(index);
  if (!name) return;
  const std::string what =
      absl::StrCat("nobody can connect to ", *name, failed.failed_for_good() ? "" : " at the moment");
  core_.logger->Log({base::LogKind::kConnection}, LogSeverity::kError, base::ErrnoStatus(failed.error, what).message());
}

}  // namespace nearcall::rpc
