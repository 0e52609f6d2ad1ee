# SPDX-License-Identifier: Apache-2.0

# cmake -D IN=file -D OUT=file.inc -P NearcallEmbed.cmake: the bytes of a file, as the initialiser of an array.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUT} "${bytes}\n")
