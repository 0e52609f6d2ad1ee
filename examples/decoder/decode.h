// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "decoder.pb.h"

namespace decoder {

// A file is two bytes, width and height; then pieces until it ends:
//
//   'r' count value     `count` pixels of one value
//   's' 4 bytes         skips so many pixels (little-endian), which stay black
//
// Like many a decoder it believes what a file says once too often: a picture that skips far beyond its end makes it
// write there. That is why it runs in a child.
absl::StatusOr<Picture> Decode(const std::string& file);

}  // namespace decoder
