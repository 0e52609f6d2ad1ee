// SPDX-License-Identifier: Apache-2.0
#include "bench/film.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace nearcall::bench {

namespace {

using Run = std::array<uint32_t, 2>;
constexpr size_t kRun = 64;  // pixels: the film is a thirty-second part of its frame

}  // namespace

std::string MakeFilm(size_t pixels) {
  std::string film;
  for (size_t left = pixels; left != 0;) {
    const Run run = {static_cast<uint32_t>(std::min(left, kRun)), static_cast<uint32_t>(left)};
    film.append(reinterpret_cast<const char*>(run.data()), sizeof(run));
    left -= run[0];
  }
  return film;
}

bool DecodeFilm(std::span<const std::byte> film, std::span<std::byte> frame) {
  for (Run run; !frame.empty(); film = film.subspan(sizeof(run))) {
    if (film.size() < sizeof(run)) return false;
    std::memcpy(run.data(), film.data(), sizeof(run));
    const size_t bytes = size_t{run[0]} * sizeof(uint32_t);
    if (bytes > frame.size()) return false;
    for (size_t i = 0; i < bytes; i += sizeof(uint32_t)) std::memcpy(&frame[i], &run[1], sizeof(uint32_t));
    frame = frame.subspan(bytes);
  }
  return film.empty();
}

}  // namespace nearcall::bench
