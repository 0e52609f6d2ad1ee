// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/call_descriptors.h"

#include "absl/strings/str_cat.h"
#include "base/descriptors.h"
#include "base/exec_state.h"
#include "transport/carries_descriptors.h"

namespace nearcall::rpc {

absl::Status CheckDescriptors(const internal::MethodInfo& method, std::span<const int> descriptors, const char* whose) {
  if (descriptors.empty()) return absl::OkStatus();
  if (absl::Status checked = base::CheckDescriptors(descriptors, whose); !checked.ok()) return checked;
  if (descriptors.size() > method.max_descriptors && !method.generic) {
    return absl::InvalidArgumentError(absl::StrCat(
        whose, ": ", method.full_name, " does not declare that ", descriptors.size(),
        " descriptors go with a message; in its .proto option (nearcall.descriptors) is ", method.max_descriptors));
  }
  return absl::OkStatus();
}

absl::Status CheckDescriptors(size_t count, const session::ClientSession& session) {
  const session::SideLine& side = session.side();
  if (count == 0 || count <= side.peer_takes()) return absl::OkStatus();
  const session::ServerName& server = session.end().server();
  if (side.peer_takes() != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat(count, " descriptors are more than ", server.Text(),
                     " takes with a message (ServerOptions::max_descriptors_per_message is ", side.peer_takes(), ")"));
  }
  if (absl::Status carries = transport::CarriesDescriptors(server.transport); !carries.ok()) return carries;
  return absl::FailedPreconditionError(absl::StrCat(
      server.Text(), " takes no descriptors: its ServerOptions::max_descriptors_per_message is 0, or it is ",
      "of an older version"));
}

absl::Status GiveDescriptors(wire::Message& answer, const CallOptions& options) {
  if (answer.descriptors.empty() && options.reply_descriptors == nullptr) return absl::OkStatus();
  absl::Status refused = answer.descriptors.refusal();
  if (!refused.ok()) return base::WithExecState(std::move(refused), ExecState::kExecuted);
  if (options.reply_descriptors != nullptr) *options.reply_descriptors = answer.descriptors.Release();
  return absl::OkStatus();
}

}  // namespace nearcall::rpc
