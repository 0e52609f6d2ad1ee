// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "google/protobuf/message_lite.h"
#include "nearcall/exec_state.h"
#include "rpc/interception.h"
#include "rpc/server/call_context.h"
#include "rpc/server/call_counts.h"
#include "rpc/server/request.h"
#include "rpc/server/server_core.h"
#include "rpc/server/server_stream.h"
#include "session/server_session.h"

namespace nearcall::rpc {

// What the caller is told at the end of its call, once: a status, a reply, the metadata of the context. Part of its
// call; used by the thread that answers.
class Answer {
 public:
  // `call`: whose slot is free with the answer.
  Answer(ServerCore& core, const Request& request, CallContext& context, CallTally& tally, session::ActiveCall& call)
      : core_(core), request_(request), context_(context), tally_(tally), call_(call) {}

  // `stream`: which the answer ends; may be null.
  void Begin(ServerStreamImpl* stream) { stream_ = stream; }
  void Reset();

  // Asks the server's interceptors whether the call may begin; from here on they hear of its end.
  absl::Status AskInterceptors();

  // What the handler says. `reply`: may be null. It may be too late for it, or its stream may have failed.
  void Finish(const absl::Status& status, const google::protobuf::MessageLite* reply);
  // Just that.
  void Give(const absl::Status& status, ExecState exec_state, const google::protobuf::MessageLite* reply = nullptr);
  // Without running: refused, expired, nobody there.
  void Refuse(const absl::Status& status, ExecState exec_state);
  // Of a one-way call, whose caller waits for the start of the handler; how that ends is for the log.
  void GiveAtStart();
  bool given() const { return given_; }

  void Log(LogSeverity severity, absl::string_view line) const;

 private:
  void TellInterceptors(const absl::Status& status, const google::protobuf::MessageLite* reply);
  void Deliver(const absl::Status& status, ExecState exec_state, const google::protobuf::MessageLite* reply);
  void NoteOneWayEnd(const absl::Status& status);
  absl::Status Check(size_t reply_size) const;
  void Send(const absl::Status& status, ExecState exec_state, const google::protobuf::MessageLite* reply,
            size_t reply_size, std::shared_ptr<const base::Descriptors> descriptors = nullptr,
            const Attached& attached = {});
  void SendInstead(const absl::Status& status, ExecState exec_state);

  ServerCore& core_;
  const Request& request_;
  CallContext& context_;
  CallTally& tally_;
  session::ActiveCall& call_;
  ServerStreamImpl* stream_ = nullptr;
  bool given_ = false;
  bool told_start_ = false;                     // the reply has gone, for nobody waits for the end
  std::unique_ptr<Interception> interception_;  // if there are interceptors, and they have been asked
};

}  // namespace nearcall::rpc
