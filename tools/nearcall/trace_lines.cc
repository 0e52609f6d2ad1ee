// SPDX-License-Identifier: Apache-2.0
#include "trace_lines.h"

#include <sys/types.h>

#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "printable.h"
#include "server_sockets.h"
#include "units.h"

namespace nearcall::tools {

namespace {

// A server may say of as many as it likes.
constexpr size_t kMostUsers = 1000;

std::string Columns(const std::string& time, const std::string& took, const std::string& status, const std::string& in,
                    const std::string& out, const std::string& pid, const std::string& user,
                    const std::string& method) {
  return absl::StrFormat("%-15s  %7s  %-19s  %10s  %10s  %8s  %-10s  %s", time, took, status, in, out, pid, user,
                         method);
}

std::string StatusOf(const stats::v1::Call& call) {
  const std::string name = absl::StatusCodeToString(static_cast<absl::StatusCode>(call.code()));
  return name.empty() ? absl::StrCat(call.code()) : name;
}

// With the number of elements, where there are any.
std::string SizeText(uint64_t bytes, uint64_t elements, const Look& look) {
  const std::string size = BytesText(static_cast<double>(bytes), look);
  return elements == 0 ? size : absl::StrCat(size, " (", elements, ")");
}

}  // namespace

std::string TraceLines::Head() const {
  if (!look_.terminal) return "";
  return absl::StrCat(look_.Bold(Columns("TIME", "TOOK", "STATUS", "IN", "OUT", "PID", "USER", "METHOD")), "\n");
}

std::string TraceLines::Of(const stats::v1::Call& call) {
  const std::string method = Printable(call.method());
  if (!look_.terminal) {
    const std::string numbers =
        absl::StrJoin({call.bytes_received(), call.bytes_sent(), call.elements_received(), call.elements_sent()}, "\t");
    return absl::StrCat(absl::StrJoin({call.start_time_unix_ns(), call.duration_ns()}, "\t"), "\t", StatusOf(call),
                        "\t", numbers, "\t", call.pid(), "\t", UserOf(call.uid()), "\t", Printable(call.transport()),
                        "\t", method, "\n");
  }
  const std::string time =
      absl::FormatTime("%H:%M:%E6S", absl::FromUnixNanos(call.start_time_unix_ns()), absl::LocalTimeZone());
  const std::string line = Columns(time, NsText(static_cast<double>(call.duration_ns()), look_), StatusOf(call),
                                   SizeText(call.bytes_received(), call.elements_received(), look_),
                                   SizeText(call.bytes_sent(), call.elements_sent(), look_), absl::StrCat(call.pid()),
                                   UserOf(call.uid()), method);
  return absl::StrCat(call.code() == 0 ? line : look_.Bold(line), "\n");
}

std::string TraceLines::Dropped(uint64_t count) const {
  if (!look_.terminal) return absl::StrCat("dropped\t", count, "\n");
  return absl::StrCat("... ", count, " more, which ended faster than they could be shown\n");
}

const std::string& TraceLines::UserOf(uint64_t uid) {
  if (users_.size() >= kMostUsers) users_.clear();
  const auto [user, added] = users_.try_emplace(uid);
  if (added) {
    const bool is_number = uid < std::numeric_limits<uid_t>::max();
    user->second = is_number ? UserName(static_cast<uid_t>(uid)) : absl::StrCat(uid);
  }
  return user->second;
}

}  // namespace nearcall::tools
