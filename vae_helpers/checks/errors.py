"""What the commonest errors of PyTorch come from, in words."""

import re

MEANINGS = {
    r"Boolean value of Tensor with more than one value": (
        "A tensor of several numbers is neither true nor false: ask `is None`, or take torch.where."
    ),
    r"'(tuple|list)' object has no attribute|must be Tensor, not (tuple|list)|'tuple' and '|and 'tuple'|concatenate tuple|multiply sequence by non-int": (
        "Several results come as a tuple: unpack it first."
    ),
    r"must be Tensor, not (float|int)$": (
        "That function takes a tensor, and here it gets a plain number: for a number there are math.log, math.exp and math.sqrt."
    ),
    r"takes \d+ positional arguments? but \d+ were given": (
        "It gets more arguments than it takes (where it is called as a method, `self` counts as one)."
    ),
    r"'NoneType' object|must be Tensor, not NoneType|'NoneType'$": (
        "Something is None there: was a default not replaced, or does a function return nothing?"
    ),
    r"Can't call numpy\(\) on Tensor that requires grad": (
        "NumPy knows no gradients: stay with PyTorch's functions, or, where no gradient is to flow back, take .detach() first."
    ),
    r"all elements of input should be between 0 and 1": (
        "That function takes probabilities; logits go into binary_cross_entropy_with_logits."
    ),
    r"does not require grad and does not have a grad_fn": "Nothing behind it asks for a gradient: is something detached?",
    r"backward through the graph a second time": "Each backward pass needs a forward pass of its own.",
    r"modified by an inplace operation|leaf Variable that requires grad": (
        "Something that a gradient needs is changed in place: make a new tensor, or update under torch.no_grad()."
    ),
    r"only supports 1-d": "Flatten it first.",
    r"must match the size of tensor|could not be broadcast": (
        "Two shapes don't fit there. Print both: often a dimension of 1 is missing (`[:, None]`), two are swapped, or a size is off by one."
    ),
    r"x2304 and 3136x": "2304 numbers are 64 channels of 6 × 6, not of 7 × 7: is the padding missing?",
    r"\(1x9408 and 3136x": "The whole batch has become one row of numbers: flatten all dimensions but the first.",
    r"shapes cannot be multiplied|^ValueError: matmul: .* mismatch in its core dimension|^ValueError: shapes .* not aligned": (
        "The inner sizes of a matrix product differ: is one side transposed, flattened too far, or made for another size?"
    ),
    r"to have \d+ channels, but got \d+ channels": "The layer is built for another number of channels than it is given.",
    r"^ValueError: shape-mismatch for sum": (
        "tensordot pairs axes of different lengths there: print both shapes, and see which axes it is told to pair."
    ),
    r"Size of label '.' for operand": (
        "In einsum one letter stands for two lengths there: print the shapes, and see which axis has it."
    ),
    r"^ValueError: cannot reshape array|is invalid for input of size": (
        "That shape has another number of places than there are numbers: is a size written down that the input decides?"
    ),
    r"torch\.return_types\.(max|min|sort|topk|median|mode|kthvalue|cummax|cummin)": (
        "That function returns a pair, the values and where they stand: take its `.values`."
    ),
    r"before Module\.__init__\(\) call": "Call super().__init__() in the first line of your __init__.",
    r"Inference tensors cannot be saved for backward": (
        "What torch.inference_mode() made, no later gradient can pass. Use torch.no_grad(), where no graph is wanted."
    ),
    r"grad can be implicitly created only for scalar outputs": "backward() starts from one number: take the sum of the many first.",
    r"Sizes of tensors must match except in dimension": (
        "torch.cat joins along one dimension, and in all others the tensors must be of one size: print their shapes."
    ),
    r"stack expects each tensor to be equal size": (
        "torch.stack makes a new dimension, of tensors of one shape; along one that they have, torch.cat joins them."
    ),
    r"stack expects a non-empty TensorList|expected a non-empty list of Tensors": (
        "The list is empty there: a loop can have no pass at all, so begin with zeros and add up."
    ),
    r"within the support \(Boolean\(\)\) of the distribution Bernoulli": (
        "`Bernoulli` refuses grey pixels unless you say validate_args=False."
    ),
    r"expected scalar type|have the same dtype": "Two dtypes meet there that don't go together.",
}


def meaning(error: str) -> str | None:
    """A sentence on where this error, "RuntimeError: …", comes from; None where nothing is certain."""
    return next((words for pattern, words in MEANINGS.items() if re.search(pattern, error)), None)
