// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/server_core.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "base/limits.h"

namespace nearcall::rpc {

namespace {

size_t TotalBytes(const ServerOptions& options) {
  if (options.max_total_bytes != 0) return options.max_total_bytes;
  return std::max(base::kDefaultTotalBytes, base::kDefaultTotalMessages * options.max_message_size);
}

size_t TotalDescriptors(const ServerOptions& options) {
  if (options.max_total_descriptors != 0) return options.max_total_descriptors;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const size_t all = std::min<size_t>(limit.rlim_cur, base::kDescriptorsPerConnection * base::kMaxConnections);
  const size_t programs = std::max(base::kMinProgramsDescriptors, all / base::kProgramsPartOfDescriptors);
  return all - std::min(programs, all / 2);
}

}  // namespace

std::shared_ptr<base::Quota> ServerCore::MakeQuota(const ServerOptions& options) {
  return std::make_shared<base::Quota>(base::Quota::Totals{.calls = options.max_total_calls,
                                                           .bytes = TotalBytes(options),
                                                           .places = options.max_handler_threads,
                                                           .descriptors = TotalDescriptors(options)},
                                       options.allowed_uids, ::geteuid(), !options.allowed_gids.empty());
}

}  // namespace nearcall::rpc
