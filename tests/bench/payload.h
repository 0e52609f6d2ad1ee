// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace nearcall::bench {

// `size` bytes of which neighbours differ.
std::string MakePayload(size_t size);

// Reads a byte of each cache line: their sum.
uint32_t LookAtAll(std::span<const std::byte> bytes);

// Makes it another one than before, so that an answer of an earlier call is a wrong one.
void Stamp(std::string& payload);

// Ends the program unless `got` is `sent`, byte for byte.
void ExpectEcho(const std::string& who, const std::string& sent, const std::string& got);

}  // namespace nearcall::bench
