// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "base/descriptors.h"
#include "base/limits.h"
#include "base/quota.h"
#include "transport/side_socket.h"
#include "wire/header.h"
#include "wire/reassembler.h"

namespace nearcall::session {

// Where the letters of a connection are brought together with the frames that they were sent before. A transport that
// honours lanes may bring a frame whose letter was sent later: those before it are kept until their frames come.
//
// Used by who uses the inbox.
class Letterbox {
 public:
  // `max_descriptors`: that the peer may send with a message; with one that has attachments, too, if
  // `with_attachments`. `account`: of its user, who pays for them; may be null.
  Letterbox(transport::SideSocket& socket, size_t max_descriptors, std::shared_ptr<base::Account> account,
            bool with_attachments = false)
      : socket_(socket),
        max_descriptors_(max_descriptors),
        max_with_attachments_(with_attachments ? base::kMaxMessageDescriptors : max_descriptors),
        budget_(std::make_shared<base::DescriptorBudget>(std::move(account))) {}
  Letterbox(const Letterbox&) = delete;
  Letterbox& operator=(const Letterbox&) = delete;

  // Before the frame of `header` is looked at any further: its letter, if it has one, is opened. Not OK: the letter or
  // its frame is missing, or they do not belong together (INTERNAL), or there is no room (RESOURCE_EXHAUSTED); the
  // connection is of no use any more.
  absl::Status Open(const wire::FrameHeader& header) {
    if (header.fd_count != 0 && header.has(wire::kFirst)) return OpenLetter(header);
    return kept_ == 0 ? absl::OkStatus() : CheckKept(header);
  }

  // After a frame with descriptors has been taken: they are put into `message`, once it is whole; those of one that is
  // given up or not taken are closed.
  void Deliver(const wire::FrameHeader& header, wire::Reassembler::Result result, wire::Message& message);

  // Who pays for descriptors of this connection.
  const std::shared_ptr<base::DescriptorBudget>& budget() const { return budget_; }
  size_t kept() const { return kept_; }

 private:
  struct Kept {
    transport::Letter letter;
    base::Descriptors descriptors;
  };

  absl::Status OpenLetter(const wire::FrameHeader& header);
  absl::Status CheckKept(const wire::FrameHeader& header) const;
  bool TakeKept(const wire::FrameHeader& header, Kept& found);

  transport::SideSocket& socket_;
  const size_t max_descriptors_;
  const size_t max_with_attachments_;  // how many of these are the program's is seen when the message is whole
  const std::shared_ptr<base::DescriptorBudget> budget_;
  std::array<Kept, base::kMaxLettersKept> letters_;  // the first kept_ of them
  size_t kept_ = 0;
  std::array<base::Descriptors, base::kLanes> partial_;  // of each lane's message in parts
  base::Descriptors opened_;                             // of the frame that was looked at last
};

}  // namespace nearcall::session
