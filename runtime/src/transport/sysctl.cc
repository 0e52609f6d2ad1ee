// SPDX-License-Identifier: Apache-2.0
#include "transport/sysctl.h"

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/fd.h"
#include "base/syscall.h"

namespace nearcall::transport {

std::optional<size_t> ReadSysctl(absl::string_view name) {
  const std::string path = absl::StrCat("/proc/sys/", name);
  const base::Fd file(base::Retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
  std::array<char, 32> text;
  const ssize_t size = base::Retry([&] { return ::read(file.get(), text.data(), text.size()); });
  size_t value = 0;
  if (size <= 0 || !absl::SimpleAtoi(absl::string_view(text.data(), static_cast<size_t>(size)), &value)) return {};
  return value;
}

}  // namespace nearcall::transport
