// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <stdexcept>
#include <string>

namespace nearcall::integration {

// A directory in `directory`, which stays its owner's alone, where several users put sockets.
inline std::string MakeMeetingPlace(const std::string& directory) {
  const std::string place = directory + "/place";
  const bool made =
      ::chmod(directory.c_str(), 0711) == 0 && ::mkdir(place.c_str(), 0777) == 0 && ::chmod(place.c_str(), 01777) == 0;
  if (!made) throw std::runtime_error("cannot make " + place);
  return place;
}

}  // namespace nearcall::integration
