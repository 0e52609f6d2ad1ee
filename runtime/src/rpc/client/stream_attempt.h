// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "google/protobuf/message_lite.h"
#include "rpc/client/call_head.h"
#include "rpc/read_elements.h"
#include "session/client_session.h"
#include "session/streaming_call.h"
#include "wire/header.h"

namespace nearcall::rpc {

// One try of a stream's call, over one session. Used as the StreamingCall in it is.
class StreamAttempt {
 public:
  StreamAttempt(std::shared_ptr<session::ClientSession> over, const CallHead& head);
  ~StreamAttempt();
  StreamAttempt(const StreamAttempt&) = delete;
  StreamAttempt& operator=(const StreamAttempt&) = delete;

  // Begins it, and sends the opening. Not OK: it has ended, and no answer to it has come.
  absl::Status Begin(const google::protobuf::MessageLite* request);

  // Gives the call up if its deadline has passed. True: it is given up, and what has come is not wanted.
  bool EndIfLate();
  // After it has begun an element of `size`: sends it, by pieces if it is large. Waits for room. False: the call has
  // ended, with this if the element could not be written.
  bool Send(const wire::FrameHeader& header, const google::protobuf::MessageLite& message, size_t size,
            std::span<const int> descriptors = {}, const Attached& attached = {});
  // The next of some elements that have come. False: it is not what it should be, and the call has ended with that.
  bool Read(ReadElements& elements, google::protobuf::MessageLite& message);
  // False: the call has ended.
  bool HalfClose();

  // After it has ended: whether it may be tried again over another session.
  bool GoesElsewhere() const;

  // After it has ended: gives the call up. Repeated it does nothing.
  void Release();

  const std::shared_ptr<session::ClientSession> session;
  session::StreamingCall call;
  wire::FrameHeader element;  // what the frames of the call have in common

 private:
  const CallHead& head_;
  bool has_begun_ = false;
};

}  // namespace nearcall::rpc
