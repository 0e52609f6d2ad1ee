// SPDX-License-Identifier: Apache-2.0
#include "bench/payload.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "bench/worker.h"

namespace nearcall::bench {

std::string MakePayload(size_t size) {
  std::string payload(size, '\0');
  for (size_t i = 0; i < size; ++i) payload[i] = static_cast<char>(i * 131 + i / 251);
  return payload;
}

uint32_t LookAtAll(std::span<const std::byte> bytes) {
  constexpr size_t kCacheLine = 64;
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += kCacheLine) sum += static_cast<uint32_t>(bytes[i]);
  return sum;
}

void Stamp(std::string& payload) {
  uint64_t stamp = 0;
  const size_t size = std::min(payload.size(), sizeof(stamp));
  std::memcpy(&stamp, payload.data(), size);
  ++stamp;
  std::memcpy(payload.data(), &stamp, size);
}

void ExpectEcho(const std::string& who, const std::string& sent, const std::string& got) {
  if (sent == got) return;
  const auto differ = std::mismatch(sent.begin(), sent.end(), got.begin(), got.end()).first;
  Die(absl::StrCat(who, ": ", sent.size(), " bytes came back as ", got.size(), ", wrong from byte ",
                   differ - sent.begin(), " on"));
}

}  // namespace nearcall::bench
