// SPDX-License-Identifier: Apache-2.0
#include "rpc/client/blocking_call.h"

#include <optional>
#include <stop_token>

#include "base/no_memory.h"
#include "rpc/client/call_descriptors.h"
#include "rpc/client/send_request.h"

namespace nearcall::rpc {

absl::Status BlockingCall::Run(session::ClientSession& session, const google::protobuf::MessageLite& request,
                               google::protobuf::MessageLite* reply) {
  if (absl::Status status = request_.FitTo(session); !status.ok()) return status;
  session::WaitingCall call(session);
  request_.Describe(call);
  const auto cancel = [&session, &call] { session.Cancel(call); };
  const std::stop_token& stop = request_.options().stop_token;
  std::optional<std::stop_callback<decltype(cancel)>> on_stop;
  if (stop.stop_possible()) on_stop.emplace(stop, cancel);

  absl::Status begun = call.Begin(request_.fail_fast());
  if (!begun.ok()) return begun;
  const bool waits = !request_.one_way() || request_.options().capacity == Capacity::kStarted;
  bool let_go = false;
  absl::Status status = base::OrNoMemory([&] {
    if (!SendRequest(request_, session, call, &request)) return absl::OkStatus();
    if (waits) {
      call.Wait();
    } else {
      let_go = call.LetGo();
    }
    return absl::OkStatus();
  });
  if (!status.ok()) call.Fail(status);
  on_stop.reset();
  status = base::OrNoMemory([&] {
    absl::Status ended = request_.StatusOf(call.failure, call.reply);
    if (ended.ok() && reply != nullptr) ended = request_.Parse(call.reply, *reply);
    return ended.ok() ? GiveEnclosed(call.reply, request_.options()) : ended;
  });
  call.Release();
  // What has been sent is the server's, whatever has come of it meanwhile.
  return let_go ? absl::OkStatus() : status;
}

}  // namespace nearcall::rpc
