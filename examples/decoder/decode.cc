// SPDX-License-Identifier: Apache-2.0
#include "decode.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace decoder {

absl::StatusOr<Picture> Decode(const std::string& file) {
  if (file.size() < 2) return absl::InvalidArgumentError("the file has no header");
  Picture picture;
  picture.set_width(static_cast<uint8_t>(file[0]));
  picture.set_height(static_cast<uint8_t>(file[1]));
  std::string pixels(size_t{picture.width()} * picture.height(), '\0');
  size_t at = 0;
  for (size_t i = 2; i < file.size();) {
    if (file[i] == 'r' && i + 2 < file.size()) {
      const auto count = static_cast<uint8_t>(file[i + 1]);
      std::memset(pixels.data() + at, file[i + 2], count);  // the fault
      at += count;
      i += 3;
    } else if (file[i] == 's' && i + 4 < file.size()) {
      uint32_t count;
      std::memcpy(&count, file.data() + i + 1, sizeof(count));
      at += count;
      i += 5;
    } else {
      return absl::InvalidArgumentError("the file is damaged");
    }
  }
  picture.set_pixels(std::move(pixels));
  return picture;
}

}  // namespace decoder
