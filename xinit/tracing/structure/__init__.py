"""How a traced model becomes layers.

A layer is a product of something that depends on the batch with parameters alone. It is found in five steps:

1. `program`: JAX traces the model once, and the jaxpr becomes a flat list of operations on numbered values. What `jit`
   and `remat` hold is written out in place; loops and branches keep the programs of their bodies.
2. `origins`: each value gets an origin, which says whether it depends on the batch, on which parameters, and what its
   axes are. `transfer` gives the origin of what an operation computes from those of what it reads.
3. `walk` goes through the program with these origins, into loops and branches. Where an operation multiplies a signal
   with a kernel, `operands` tells the axes of both, and `kernels` the fans. `search` runs the walk and adds to each
   product the bias that is added next. `products` holds the types of what was found.
4. `functions` recognises the elementwise function that is applied to what a layer gives, and `normalisation` the kind
   of normalisation beside it. Both use `scopes`, which holds the readers and makers of each value, and `scalar`, which
   computes elementwise operations as functions of one number.
5. `layers` gives each product its name and its depth, and lists the parameters whose product was not seen.

`layers.structure_of` takes all five.
"""
