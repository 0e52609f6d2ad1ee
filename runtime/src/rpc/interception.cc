// SPDX-License-Identifier: Apache-2.0
#include "rpc/interception.h"

#include <cxxabi.h>

#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace nearcall::rpc {

absl::Status Interception::Ask(size_t count, absl::FunctionRef<absl::StatusOr<OnCallEnd>(size_t i)> start) {
  ends_.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    absl::StatusOr<OnCallEnd> on_end = AskOne(i, start);
    if (!on_end.ok()) return on_end.status();
    if (*on_end != nullptr) ends_.push_back(*std::move(on_end));
  }
  return absl::OkStatus();
}

absl::StatusOr<OnCallEnd> Interception::AskOne(size_t i,
                                               absl::FunctionRef<absl::StatusOr<OnCallEnd>(size_t i)> start) const {
  try {
    return start(i);
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (...) {
    Log("threw an exception");
    // What it said may be what the caller must not see.
    return absl::UnknownError(absl::StrCat("an interceptor of ", call_.method, " failed"));
  }
}

void Interception::Tell(const absl::Status& status, const Messages& messages, const Metadata& initial,
                        const Metadata& trailing) {
  if (fork_guard_.InChild()) return;
  const CallEnd end = {.call = call_,
                       .status = status,
                       .duration = absl::Nanoseconds(base::NowNs() - started_),
                       .sent = messages.sent,
                       .received = messages.received,
                       .initial_metadata = initial,
                       .trailing_metadata = trailing};
  while (!ends_.empty()) TellOne(end);
}

void Interception::TellOne(const CallEnd& end) {
  OnCallEnd on_end = std::move(ends_.back());
  ends_.pop_back();
  try {
    std::move(on_end)(end);
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (...) {
    Log("threw an exception at the end of the call");
  }
}

void Interception::Log(absl::string_view what) const try {
  logger_.Log({base::LogKind::kUserCode}, LogSeverity::kError,
              absl::StrCat("an interceptor of ", call_.method, " ", what));
} catch (const std::bad_alloc&) {
  // Nobody reads it.
}

}  // namespace nearcall::rpc
