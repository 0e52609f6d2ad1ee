// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/intercepted_call.h"

#include "base/thread.h"

namespace nearcall::rpc {

using internal::Tried;

void InterceptedCall::Begin(Channel& channel, const google::protobuf::MessageLite* request) {
  interception_.Start().IgnoreError();
  call_ = channel.BeginCall(interception_.method(), request, interception_.options());
}

Tried InterceptedCall::TryRead(google::protobuf::MessageLite& element) {
  const Tried tried = call_->TryRead(element);
  if (tried == Tried::kDone) interception_.Received();
  return tried;
}

Tried InterceptedCall::TryWrite(const google::protobuf::MessageLite& element, bool last) {
  const Tried tried = call_->TryWrite(element, last);
  if (tried == Tried::kDone) interception_.Sent();
  return tried;
}

Tried InterceptedCall::TryFinish(google::protobuf::MessageLite* reply, absl::Status& status) {
  const base::CancelDisabled uncancelled;
  const Tried tried = call_->TryFinish(reply, status);
  if (tried != Tried::kDone) return tried;
  if (!interception_.refusal().ok()) {
    status = interception_.refusal();
  } else {
    interception_.End(status, call_->metadata());
  }
  return tried;
}

}  // namespace nearcall::rpc
