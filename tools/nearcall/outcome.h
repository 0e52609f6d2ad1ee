// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "printable.h"

namespace nearcall::tools {

// What the command ends with; the man page lists them. A call that a server, or the way to it, has ended with an error:
// 64 and the status's canonical code, as in grpcurl.
enum ExitCode : int {
  kSuccess = 0,
  kUsage = 2,          // the command line
  kNoServer = 3,       // nobody listens, or does not let us in
  kUnknownSymbol = 4,  // no such service, method or type; no description to be had
  kBadInput = 5,       // what was to be sent is not what the method takes
  kRpc = 64,
};

// How a command has ended, and what a person is told of it.
struct Outcome {
  int code = kSuccess;
  std::string error = {};

  bool ok() const { return code == kSuccess; }

  static Outcome Because(ExitCode code, std::string error) { return {code, std::move(error)}; }
  // Of a call.
  static Outcome OfCall(const absl::Status& status) {
    if (status.ok()) return {};
    return {kRpc + static_cast<int>(status.code()),
            Printable(status.ToString(absl::StatusToStringMode::kWithNoExtraData))};
  }
  // Of an attempt to connect.
  static Outcome OfConnect(const absl::Status& status) {
    if (status.ok()) return {};
    const bool misspelt = absl::IsInvalidArgument(status);
    return {misspelt ? kUsage : kNoServer, Printable(status.message())};
  }
};

}  // namespace nearcall::tools
