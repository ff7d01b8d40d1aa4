// SPDX-License-Identifier: Apache-2.0
@_exported public import KachelBytes
@_exported public import KachelEngines
@_exported public import KachelImages
@_exported public import KachelModels
@_exported public import KachelPixels
@_exported public import KachelSegmentation
