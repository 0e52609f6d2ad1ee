// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cxxabi.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/buffer.h"
#include "base/log.h"
#include "nearcall/channel.h"
#include "rpc/client/async_call.h"

namespace nearcall::rpc {

// Runs what the user's code does of asynchronous calls: by the channel's executor, or here. What it throws ends there,
// and is logged.
class CallbackRunner {
 public:
  CallbackRunner(const ChannelOptions& options, std::shared_ptr<base::Logger> logger)
      : options_(options), logger_(std::move(logger)) {}

  // Calls code(call, spare); `spare` is another one by an executor.
  template <typename Code>
  void Run(const std::shared_ptr<AsyncCall>& call, base::Buffer& spare, Code code) const {
    if (!options_.executor || call->is_local()) return RunGuarded(*logger_, *call, spare, code);
    options_.executor([call, code, logger = logger_] {
      base::Buffer its_own;
      RunGuarded(*logger, *call, its_own, code);
    });
  }

 private:
  template <typename Code>
  static void RunGuarded(base::Logger& logger, AsyncCall& call, base::Buffer& spare, Code code) {
    const auto log = [&](absl::string_view what) {
      logger.Log({base::LogKind::kUserCode}, LogSeverity::kError,
                 absl::StrCat("the callback of ", call.request().method().full_name, what));
    };
    try {
      code(call, spare);
    } catch (abi::__forced_unwind&) {
      log(" has ended its thread (pthread_exit)");
      throw;
    } catch (...) {
      log(" threw an exception");
    }
  }

  const ChannelOptions& options_;
  const std::shared_ptr<base::Logger> logger_;
};

}  // namespace nearcall::rpc
