// SPDX-License-Identifier: Apache-2.0
#include "base/syscall.h"

#include <sys/resource.h>

#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace nearcall::base {

namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EAGAIN:
    case ENOBUFS:
    case EFBIG:
    case ETOOMANYREFS:
      return absl::StatusCode::kResourceExhausted;
    case EACCES:
    case EPERM:
      return absl::StatusCode::kPermissionDenied;
    case ENOENT:
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

std::string LimitText(const char* name, __rlimit_resource resource) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) return name;
  if (limit.rlim_cur == RLIM_INFINITY) return absl::StrCat(name, " is unlimited");
  return absl::StrCat(name, " is ", limit.rlim_cur);
}

std::string Remedy(int error) {
  switch (error) {
    case EMFILE:
      return absl::StrCat("; ", LimitText("RLIMIT_NOFILE", RLIMIT_NOFILE), "; raise it (ulimit -n)");
    case ENFILE:
      return "; the system's limit of open files is reached (/proc/sys/fs/file-max)";
    case ETOOMANYREFS:
      return absl::StrCat("; too many descriptors in flight; ", LimitText("RLIMIT_NOFILE", RLIMIT_NOFILE));
    case EFBIG:
      return absl::StrCat("; ", LimitText("RLIMIT_FSIZE", RLIMIT_FSIZE), " B; raise it (ulimit -f)");
    case ENOMEM:
    case ENOSPC:
      return absl::StrCat("; no memory; ", LimitText("RLIMIT_AS", RLIMIT_AS),
                          "; look at the memory limit of the control group too");
    default:
      return "";
  }
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what) {
  // std::generic_category().message is thread-safe, strerror is not.
  return absl::Status(CodeOf(error), absl::StrCat(what, ": ", std::generic_category().message(error), Remedy(error)));
}

}  // namespace nearcall::base
