// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/call_descriptors.h"

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/exec_state.h"
#include "rpc/attachments.h"
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

absl::Status KeepDescriptors(CallOptions& options, std::shared_ptr<const base::Descriptors>& kept) {
  if (options.descriptors.empty()) return absl::OkStatus();
  absl::Status copied = CopyDescriptors(options.descriptors, kept);
  if (copied.ok()) options.descriptors = kept->fds();
  return copied;
}

absl::Status CopyDescriptors(std::span<const int> descriptors, std::shared_ptr<const base::Descriptors>& to) {
  absl::StatusOr<base::Descriptors> copies = base::Descriptors::Duplicate(descriptors, nullptr);
  if (!copies.ok()) return base::WithExecState(copies.status(), ExecState::kNotSent);
  to = base::Shared(*std::move(copies));
  return absl::OkStatus();
}

namespace {

absl::Status GiveAttachments(wire::Message& answer, std::vector<Buffer>& to) {
  absl::StatusOr<std::vector<Buffer>> opened = OpenAttachments(answer);
  if (!opened.ok()) {
    return absl::Status(opened.status().code(), absl::StrCat("the reply's ", opened.status().message()));
  }
  to = *std::move(opened);
  return absl::OkStatus();
}

}  // namespace

absl::Status GiveEnclosed(wire::Message& answer, const CallOptions& options) {
  if (options.reply_attachments != nullptr && !answer.attachments.empty()) {
    absl::Status given = GiveAttachments(answer, *options.reply_attachments);
    if (!given.ok()) return base::WithExecState(std::move(given), ExecState::kExecuted);
  }
  if (answer.descriptors.empty() && options.reply_descriptors == nullptr) return absl::OkStatus();
  absl::Status refused = answer.descriptors.refusal();
  if (!refused.ok()) return base::WithExecState(std::move(refused), ExecState::kExecuted);
  if (options.reply_descriptors != nullptr) *options.reply_descriptors = answer.descriptors.Release();
  return absl::OkStatus();
}

}  // namespace nearcall::rpc
