// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/client_interception.h"

#include "absl/time/time.h"
#include "base/exec_state.h"
#include "base/no_memory.h"
#include "base/thread.h"
#include "rpc/client/generic_method.h"

namespace nearcall::rpc {

ClientInterception::ClientInterception(All interceptors, const internal::MethodInfo& method, const CallOptions& options)
    : interceptors_(std::move(interceptors)),
      keep_method_(KeptBy(method)),
      method_(method),
      options_(options),
      interception_(method.full_name, method.kind, *interceptors_->logger) {}

ClientInterception::~ClientInterception() {
  const base::CancelDisabled uncancelled;
  if (!ended_) End(absl::CancelledError("the call was dropped by its caller"), {});
}

const absl::Status& ClientInterception::Start() {
  absl::Status asked = base::OrNoMemory([this] {
    return interception_.Ask(interceptors_->all.size(),
                             [this](size_t i) { return interceptors_->all[i]->Start(interception_.call(), options_); });
  });
  if (asked.ok()) return refusal_;
  refusal_ = base::OrNoMemory([&] { return base::WithExecState(std::move(asked), ExecState::kNotSent); });
  // There is no time for it.
  options_.timeout = absl::ZeroDuration();
  End(refusal_, {});
  return refusal_;
}

void ClientInterception::End(const absl::Status& status, const ResponseMetadata& metadata) {
  if (ended_) return;
  ended_ = true;
  interception_.Tell(status, MessagesOf(status), metadata.initial, metadata.trailing);
}

// A request has gone when the call may have been seen; a reply has come with an OK.
Interception::Messages ClientInterception::MessagesOf(const absl::Status& status) const {
  const bool one_request = !internal::ClientStreams(method_.kind) && ExecStateOf(status) != ExecState::kNotSent;
  const bool one_reply =
      !internal::ServerStreams(method_.kind) && method_.kind != internal::MethodKind::kOneWay && status.ok();
  return {.sent = sent_.get() + (one_request ? 1 : 0), .received = received_.get() + (one_reply ? 1 : 0)};
}

}  // namespace nearcall::rpc
