// SPDX-License-Identifier: Apache-2.0
#include "wire/sequence.h"

#include "absl/strings/str_cat.h"

namespace nearcall::wire {

absl::Status SequenceChecker::Violation(const FrameHeader& header, uint64_t expected) {
  const char* what = header.sequence < expected ? "had come already" : "follows a gap";
  return absl::InternalError(absl::StrCat("sequence violation in lane ", header.priority, ": expected frame ", expected,
                                          ", received ", header.sequence, ", which ", what));
}

}  // namespace nearcall::wire
