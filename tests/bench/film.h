// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace nearcall::bench {

// A frame of four bytes for each pixel, as a decoder gets it: runs, each a count and a colour (uint32_t both).
std::string MakeFilm(size_t pixels);

// False: the film is not of that size.
bool DecodeFilm(std::span<const std::byte> film, std::span<std::byte> frame);

}  // namespace nearcall::bench
