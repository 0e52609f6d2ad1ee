// SPDX-License-Identifier: Apache-2.0
#include "address.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace nearcall::grpc {

namespace {

bool IsPort(absl::string_view text) {
  uint32_t number = 0;
  return !text.empty() && text.size() <= 5 && absl::SimpleAtoi(text, &number) && number <= UINT16_MAX;
}

// A name, a number of IPv4, or one of IPv6 in brackets: gRPC's resolvers, which also have URIs, see nothing else.
bool IsHost(absl::string_view text) {
  const bool bracketed = absl::ConsumePrefix(&text, "[") && absl::ConsumeSuffix(&text, "]");
  if (text.empty() || text.size() > 255) return false;
  constexpr absl::string_view kPlain = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_";
  for (const char c : text) {
    const bool fits = kPlain.find(c) != absl::string_view::npos || (bracketed && (c == ':' || c == '%'));
    if (!fits) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<std::string> ParseAddress(absl::string_view address) {
  absl::string_view rest = address;
  const size_t colon = address.rfind(':');
  if (absl::ConsumePrefix(&rest, kScheme) && colon >= kScheme.size() && IsPort(address.substr(colon + 1)) &&
      IsHost(address.substr(kScheme.size(), colon - kScheme.size()))) {
    return std::string(rest);
  }
  return absl::InvalidArgumentError(absl::StrCat("address \"", absl::CHexEscape(address),
                                                 "\": expected grpc:HOST:PORT, such as grpc:localhost:50051"));
}

}  // namespace nearcall::grpc
